"""Rules that every committed notebook keeps. Each takes a notebook and its number and yields a line per breach."""

import ast
import builtins
from collections.abc import Iterator

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from mtl_tutorial.commands.outputs import fetches, output_faults

CHECKED = "nbval-check-output"
NETWORK = {"aiohttp", "httpx", "requests", "socket", "urllib"}


def outputs_are_fit_to_commit(notebook: NotebookNode, number: str) -> Iterator[str]:
    yield from output_faults(notebook)


def executed_top_to_bottom(notebook: NotebookNode, number: str) -> Iterator[str]:
    counts = [cell.execution_count for cell in _code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"was not executed top to bottom: {counts}"


def begins_with_parameters(notebook: NotebookNode, number: str) -> Iterator[str]:
    tagged = ["parameters" in cell.metadata.get("tags", []) for cell in _code_cells(notebook)]
    if tagged.count(True) != 1 or not tagged[0]:
        yield "the first code cell, and no other, is to be tagged 'parameters'"
        return
    names = set()
    for statement in _parsed(_code_cells(notebook)[0]).body:
        if not _is_plain_assignment(statement):
            yield f"the parameters cell holds more than plain assignments: {ast.unparse(statement)}"
            continue
        names.add(statement.targets[0].id)
    if "SEED" not in names:
        yield "the parameters cell has no SEED"


def claims_stand_alone_and_are_checked(notebook: NotebookNode, number: str) -> Iterator[str]:
    for cell in _code_cells(notebook):
        tree = _parsed(cell)
        if not _calls(tree, "claim"):
            continue
        if not all(isinstance(line, ast.Expr) and _is_call(line.value, "claim") for line in tree.body):
            yield f"In [{cell.execution_count}]: holds more than claims"
        if CHECKED not in cell.metadata.get("tags", []):
            yield f"In [{cell.execution_count}]: a claim cell without the tag {CHECKED}"


def claims_could_be_false(notebook: NotebookNode, number: str) -> Iterator[str]:
    for cell in _code_cells(notebook):
        for call in _calls(_parsed(cell), "claim"):
            named = {word.arg: word.value for word in call.keywords}
            value = call.args[2] if len(call.args) > 2 else named.get("value", ast.Constant(None))
            if not _depends_on_something(value):
                yield f"In [{cell.execution_count}]: claims a literal: {ast.unparse(value)}"


def claims_have_ids_of_their_own(notebook: NotebookNode, number: str) -> Iterator[str]:
    seen = set()
    for cell in _code_cells(notebook):
        for call in _calls(_parsed(cell), "claim"):
            id = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
            if not isinstance(id, str) or not id.startswith(f"{number}."):
                yield f"In [{cell.execution_count}]: a claim's id begins with '{number}.'"
            elif id in seen:
                yield f"In [{cell.execution_count}]: a second claim has the id {id}"
            seen.add(id)


def gives_no_answers_away(notebook: NotebookNode, number: str) -> Iterator[str]:
    for cell in _code_cells(notebook):
        for name in ("hint", "solution"):
            if _calls(_parsed(cell), name):
                yield f"In [{cell.execution_count}]: calls {name}(), which is for the learner to type"


def fetches_nothing(notebook: NotebookNode, number: str) -> Iterator[str]:
    for cell in _code_cells(notebook):
        for what in _reaches_out(_parsed(cell)):
            yield f"In [{cell.execution_count}]: {what}"
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and fetches(cell.source):
            yield f"Markdown that fetches something when shown: {cell.source[:60]!r}"


RULES = (
    outputs_are_fit_to_commit,
    executed_top_to_bottom,
    begins_with_parameters,
    claims_stand_alone_and_are_checked,
    claims_could_be_false,
    claims_have_ids_of_their_own,
    gives_no_answers_away,
    fetches_nothing,
)


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _parsed(cell: NotebookNode) -> ast.Module:
    return ast.parse(TransformerManager().transform_cell(cell.source))


def _is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and name in (getattr(node.func, "id", None), getattr(node.func, "attr", None))


def _calls(tree: ast.AST, name: str) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if _is_call(node, name)]


def _is_plain_assignment(statement: ast.stmt) -> bool:
    """Whether papermill sees and can replace it: one name, no annotation, a literal."""
    if not (isinstance(statement, ast.Assign) and [type(target) for target in statement.targets] == [ast.Name]):
        return False
    try:
        ast.literal_eval(statement.value)
    except ValueError:
        return False
    return True


def _depends_on_something(value: ast.expr) -> bool:
    names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
    return bool(names - set(dir(builtins)))


def _reaches_out(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            for module in origin:
                if module.partition(".")[0] in NETWORK:
                    yield f"imports {module}"
        elif isinstance(node, ast.Constant) and str(node.value).startswith(("http://", "https://")):
            yield f"uses an address: {node.value}"
        elif _is_call(node, "system") or _is_call(node, "getoutput"):
            yield "runs a command of the shell"

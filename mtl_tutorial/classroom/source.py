"""What a function's source tells: whether it was attempted, whom it calls, and which of its lines raised."""

import ast
import dis
import inspect
import linecache
import textwrap
import traceback
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType


def is_stub(function: Callable) -> bool:
    """Return whether the body is only a docstring and ``...`` or ``pass``. Without source: no."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError):       # built in, generated, or a lambda cut out of its line
        return False
    return bool(tree.body) and _is_empty(tree.body[0])


def _is_empty(node: ast.stmt) -> bool:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return all(_is_empty(statement) for statement in node.body)
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def source_with_helpers(function: Callable) -> str:
    """Return the source of a function or class, then that of the functions of its package that it calls in turn.

    A helper is found by its global name, so that an attribute of a module or of an object is none.
    """
    found = [inspect.unwrap(function)]
    for one in found:                           # grows while it is walked: helpers have helpers
        found += [helper for helper in _helpers(one) if helper not in found]
    return "\n\n\n".join(inspect.getsource(one).rstrip() for one in found)


def _helpers(function: Callable) -> list[FunctionType]:
    """Return the functions of the same package that a function or the methods of a class name, in order."""
    members = vars(function).values() if inspect.isclass(function) else [function]
    named = {}
    for member in map(inspect.unwrap, filter(inspect.isfunction, members)):
        for name in _names(member.__code__):
            helper = inspect.unwrap(member.__globals__.get(name))
            if inspect.isfunction(helper) and _package(helper) == _package(function):
                named[name] = helper
    return list(named.values())


def _names(code: CodeType) -> Iterator[str]:
    """Yield the global names that code mentions, its comprehensions and inner functions included."""
    yield from (step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _package(function: Callable) -> str:
    return function.__module__.partition(".")[0]


def raising_line(function: Callable, error: BaseException) -> tuple[int, str] | None:
    """Return the number and text of the last line in the function's own cell or file that led to the error."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return None
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if frame.filename == code.co_filename]
    return (own[-1], linecache.getline(code.co_filename, own[-1]).strip()) if own else None

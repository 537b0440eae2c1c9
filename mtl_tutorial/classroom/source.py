"""What a function's source tells: whether it was attempted, and which of its lines raised."""

import ast
import inspect
import linecache
import textwrap
import traceback
from collections.abc import Callable


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


def raising_line(function: Callable, error: BaseException) -> tuple[int, str] | None:
    """Return the number and text of the last line in the function's own cell or file that led to the error."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return None
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if frame.filename == code.co_filename]
    return (own[-1], linecache.getline(code.co_filename, own[-1]).strip()) if own else None

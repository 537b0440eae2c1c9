"""``check``: the learner's function when it is right, an explanation and the reference when it is not."""

import traceback
from collections.abc import Callable

from mtl_tutorial.classroom.diagnosis import Finding, diagnose
from mtl_tutorial.classroom.exercise import Exercise, find_exercise
from mtl_tutorial.classroom.panel import show_panel
from mtl_tutorial.classroom.progress import progress
from mtl_tutorial.classroom.randomness import random_state_kept
from mtl_tutorial.classroom.source import is_stub


def check(id: str, function: Callable) -> Callable:
    """Examine the learner's answer to an exercise and say what came of it.

    Never raises on a learner's code, and leaves random state as it found it.

    Args:
        id: of the exercise, ``"01.mix_experts"``.
        function: the learner's function.

    Returns:
        The function when it is right, otherwise the reference: the lesson goes on either way.

    Raises:
        KeyError: there is no exercise with this id.
    """
    exercise = find_exercise(id)
    if _is_reference(function, exercise):
        show_panel(f"{id} · this is the reference, not your answer",
                   ["Put your code into the function and re-run its whole cell."])
        return exercise.reference
    if not callable(function):
        show_panel(f"{id} · not a function", [f"Pass the function itself, not a {type(function).__name__}."])
        return exercise.reference
    if is_stub(function):
        show_panel(f"{id} · not attempted · {exercise.heading}",
                   [f"Replace the `...` with your code and re-run the cell. {_help(id)}",
                    "Until then the lesson goes on with the reference."])
        return exercise.reference
    with random_state_kept():
        found = _examine(exercise, function)
    progress().record("attempt", id, found.kind if found else "solved")
    if found is None:
        show_panel(f"{id} · solved", ["Right on every case. The lesson goes on with your code."])
        return function
    show_panel(f"{id} · not yet", [*found.lines, f"{_help(id)} The lesson goes on with the reference."])
    return exercise.reference


def _examine(exercise: Exercise, function: Callable) -> Finding | None:
    try:
        return diagnose(exercise, function)
    except Exception as error:              # a result so odd that it cannot be compared
        last = traceback.format_exception_only(error)[-1].strip()
        return Finding("unreadable", ("The result could not be examined:", last))


def _is_reference(function: Callable, exercise: Exercise) -> bool:
    """Return whether this is the reference, reloaded or not: what an earlier ``check`` may have handed back."""
    def identity(f):
        return getattr(f, "__module__", None), getattr(f, "__qualname__", f)
    return function is exercise.reference or identity(function) == identity(exercise.reference)


def _help(id: str) -> str:
    return f'Stuck? Type `hint("{id}")` or `solution("{id}")` in a new cell.'

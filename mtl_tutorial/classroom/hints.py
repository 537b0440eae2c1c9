"""``hint`` and ``solution``: help in the order in which it should be asked for."""

from IPython.display import display

from mtl_tutorial.classroom.exercise import find_exercise
from mtl_tutorial.classroom.panel import show_panel
from mtl_tutorial.classroom.progress import progress
from mtl_tutorial.classroom.source import source_with_helpers


def hint(id: str) -> None:
    """Show the next hint of an exercise; the last one says more than the first.

    Raises:
        KeyError: there is no exercise with this id.
    """
    hints = find_exercise(id).hints
    number = progress().hints_shown(id) + 1
    if number > len(hints):
        numbered = [f"{i}. {text}" for i, text in enumerate(hints, 1)]
        show_panel(f"{id} · that was the last hint", [*numbered, f'Type `solution("{id}")` to see the answer.'])
        return
    progress().record("hint", id, str(number))
    show_panel(f"{id} · hint {number} of {len(hints)}", [hints[number - 1]])


def solution(id: str) -> None:
    """Show the source of an exercise's reference and of the package's functions that it calls, in colours.

    Raises:
        KeyError: there is no exercise with this id.
    """
    source = source_with_helpers(find_exercise(id).reference)
    display({"text/plain": source, "text/markdown": f"~~~~python\n{source}\n~~~~"}, raw=True)

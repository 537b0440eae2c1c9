"""What an exercise is, and where the exercises of a lesson are found."""

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass

from mtl_tutorial.lessons import LESSONS, lesson


@dataclass(frozen=True)
class Mistake:
    """A plausible wrong implementation and what to tell the learner who wrote it.

    Args:
        function: the wrong implementation.
        diagnosis: what to tell.
        raises: of a mistake that raises on a case: a pattern found in "Type: message" of its error. Whatever raises
            such an error is taken for this mistake; the results of the other cases do not count.
    """

    function: Callable
    diagnosis: str
    raises: str = ""


@dataclass(frozen=True)
class Exercise:
    """One function for the learner to write.

    Args:
        id: the lesson's number and words, ``"01.mix_experts"``; never changes.
        reference: the right answer, imported from the package.
        cases: returns a list of argument tuples, the same ones each time. Arguments may be tensors, modules,
            numbers and nested containers of them; where a tensor requires a gradient or a module has parameters,
            gradients are compared too. Prefer float64.
        hints: from a nudge to nearly the answer.
        mistakes: at least three; each differs from the reference and from the others on the cases.
        title: for the heading; by default the words of the id.
        difficulty: 1 (a line) to 5 (an evening).
        importance: 1 (nice to know) to 5 (asked in every interview).
        minutes: what a learner should allow.
        tolerance: how far a result may be off, relative to 1 + |expected|.
        sparing: names of the modules among the arguments that an answer may call no more often than the reference.
    """

    id: str
    reference: Callable
    cases: Callable[[], list[tuple]]
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    title: str = ""
    difficulty: int = 2
    importance: int = 3
    minutes: int = 10
    tolerance: float = 1e-6
    sparing: tuple[str, ...] = ()

    def __post_init__(self):
        if not re.fullmatch(r"\d\d\.[a-z][a-z0-9_]*", self.id):
            raise ValueError(f"exercise id {self.id!r}: use the lesson's number and words, like '01.mix_experts'")

    @property
    def heading(self) -> str:
        """Title, difficulty, importance and minutes on one line."""
        title = self.title or self.id.partition(".")[2].replace("_", " ").capitalize()
        dots = [f"{'●' * level}{'○' * (5 - level)}" for level in (self.difficulty, self.importance)]
        return f"{title} · difficulty {dots[0]} · importance {dots[1]} · {self.minutes} min"

    def arguments(self, case: tuple) -> dict[str, object]:
        """Return a case's arguments under the names the reference gives them."""
        return dict(inspect.signature(self.reference).bind(*case).arguments)


def exercises_of(number: str) -> dict[str, Exercise]:
    """Return a lesson's exercises by id: the tuple ``EXERCISES`` in its ``exercises.py``, or none."""
    name = f"mtl_tutorial.lessons.{lesson(number).folder}.exercises"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is None or not name.startswith(missing.name):       # exercises.py lacks something it needs
            raise
        return {}
    return {exercise.id: exercise for exercise in module.EXERCISES}


def find_exercise(id: str) -> Exercise:
    """Return the exercise with this id.

    Raises:
        KeyError: there is none; the message lists those of the same lesson, or of all.
    """
    number = id.partition(".")[0]
    numbers = [entry.number for entry in LESSONS]
    known = {} if number not in numbers else exercises_of(number)
    if id not in known:
        known = known or {known_id: None for n in numbers for known_id in exercises_of(n)}
        raise KeyError(f"there is no exercise {id!r}; there is {', '.join(known) or 'none yet'}")
    return known[id]

"""The quiz of a lesson as data: ``quiz.yaml`` read and validated."""

from dataclasses import dataclass

from mtl_tutorial.classroom.yaml_entries import ContentError, Entry, read_entries
from mtl_tutorial.lessons import lesson


@dataclass(frozen=True)
class Option:
    """One possible answer, and why it is right or wrong. Both may hold Markdown and ``$mathematics$``."""

    text: str
    correct: bool
    why: str


@dataclass(frozen=True)
class Question:
    """A question with two options or more, at least one of them correct."""

    id: str
    question: str
    options: tuple[Option, ...]

    @property
    def several(self) -> bool:
        """Whether more than one option is correct."""
        return sum(option.correct for option in self.options) > 1


def questions_of(number: str) -> list[Question]:
    """Return the questions of a lesson; an empty list where it has no ``quiz.yaml``.

    Raises:
        ContentError: the file does not say what it should; names entry and field.
    """
    path = lesson(number).content / "quiz.yaml"
    return [_question(entry) for entry in read_entries(path)] if path.exists() else []


def _question(entry: Entry) -> Question:
    entry.only("id", "question", "options")
    options = tuple(_option(option) for option in entry.entries("options"))
    if len(options) < 2 or not any(option.correct for option in options):
        raise ContentError(f"{entry.place}: field 'options' needs two options or more, at least one correct")
    return Question(entry.text("id"), entry.text("question"), options)


def _option(entry: Entry) -> Option:
    entry.only("text", "correct", "why")
    return Option(entry.text("text"), entry.flag("correct"), entry.text("why"))

"""The interview cards of a lesson as data: ``interview.yaml`` read and validated."""

import re
from dataclasses import dataclass

from mtl_tutorial.classroom.yaml_entries import LANGUAGES, ContentError, Entry, read_entries
from mtl_tutorial.lessons import lesson

KINDS = ("concept", "derivation", "coding", "system design", "debugging")
EVIDENCE = re.compile(r"(exercise:)?\d\d\.[a-z][a-z0-9_]*|cell:.+")


@dataclass(frozen=True)
class Card:
    """An interview question with its answer, in each language ("en", "zh").

    ``evidence`` names what in the lesson supports the answer: a claim's id, ``exercise:<id>``, or
    ``cell:<heading>``.
    """

    id: str
    kind: str
    question: dict[str, str]
    answer: dict[str, str]
    follow_ups: dict[str, tuple[str, ...]]
    trap: dict[str, str]
    evidence: tuple[str, ...]


def cards_of(number: str) -> list[Card]:
    """Return the cards of a lesson; an empty list where it has no ``interview.yaml``.

    Raises:
        ContentError: the file does not say what it should; names entry and field.
    """
    path = lesson(number).content / "interview.yaml"
    return [_card(entry) for entry in read_entries(path)] if path.exists() else []


def _card(entry: Entry) -> Card:
    entry.only("id", "kind", "question", "answer", "follow_ups", "trap", "evidence")
    kind, evidence = entry.text("kind"), entry.texts("evidence")
    if kind not in KINDS:
        raise ContentError(f"{entry.place}: field 'kind' is {kind!r}; kinds are {', '.join(KINDS)}")
    for item in evidence:
        if not EVIDENCE.fullmatch(item):
            raise ContentError(f"{entry.place}: field 'evidence' has {item!r}; name a claim's id, 'exercise:<id>' "
                               "or 'cell:<heading>'")
    question, answer, trap = (_in_each_language(entry, field) for field in ("question", "answer", "trap"))
    follow_ups = entry.languages("follow_ups")
    return Card(entry.text("id"), kind, question, answer,
                {language: follow_ups.texts(language) for language in LANGUAGES}, trap, evidence)


def _in_each_language(entry: Entry, field: str) -> dict[str, str]:
    texts = entry.languages(field)
    return {language: texts.text(language) for language in LANGUAGES}

"""Every written lesson has interview cards in both languages, each resting on what the lesson shows."""

import ast
import re

import nbformat
import pytest

from mtl_tutorial.classroom.exercise import exercises_of
from mtl_tutorial.classroom.interview import cards_of
from mtl_tutorial.classroom.yaml_entries import LANGUAGES
from mtl_tutorial.lessons import LESSONS, NOTEBOOKS, lesson

WRITTEN = [entry.number for entry in LESSONS
           if entry.number != "00" and (entry.available or (entry.content / "interview.yaml").exists())]

each_lesson = pytest.mark.parametrize("number", WRITTEN)


def evidence_in(number: str) -> set[str]:
    """Return everything a card of this lesson may point to."""
    notebook = nbformat.read(NOTEBOOKS / lesson(number).notebook, as_version=4)
    found = {f"exercise:{id}" for id in exercises_of(number)}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found |= {f"cell:{heading.strip()}" for heading in re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE)}
        elif cell.cell_type == "code" and "claim(" in cell.source:
            found |= {node.args[0].value for node in ast.walk(ast.parse(cell.source)) if is_claim(node)}
    return found


def is_claim(node: ast.AST) -> bool:
    return (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "claim"
            and isinstance(node.args[0], ast.Constant))


def sentences(text: str) -> set[str]:
    """Return the sentences of an answer, without those too short to be anyone's own."""
    parts = re.split(r"(?<=[.!?])\s+|(?<=[。！？])|\n", text)
    return {part.strip().lower() for part in parts if len(part.strip()) >= 10}


@each_lesson
def test_lesson_has_ten_questions_of_several_kinds(number):
    deck = cards_of(number)
    assert len(deck) >= 10
    assert len({card.kind for card in deck}) >= 3


@each_lesson
def test_languages_are_what_they_say(number):
    for card in cards_of(number):
        for texts in (card.question, card.answer, card.trap):
            assert re.search(r"[\u4e00-\u9fff]", texts["zh"]), card.id
            assert not re.search(r"[\u4e00-\u9fff]", texts["en"]), card.id
        assert len(card.follow_ups["en"]) == len(card.follow_ups["zh"]), card.id


@each_lesson
def test_evidence_exists_in_the_lesson(number):
    known = evidence_in(number)
    for card in cards_of(number):
        assert set(card.evidence) <= known, card.id


@each_lesson
def test_most_answers_rest_on_a_claim(number):
    deck = cards_of(number)
    with_claim = sum(any(re.match(r"\d\d\.", item) for item in card.evidence) for card in deck)
    assert with_claim >= 0.7 * len(deck)


@each_lesson
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_stands_in_two_answers(number, language):
    seen = {}
    for card in cards_of(number):
        for sentence in sentences(card.answer[language]):
            assert sentence not in seen, f"{card.id} and {seen[sentence]} share: {sentence}"
            seen[sentence] = card.id

"""Every written lesson has a quiz that explains each of its answers."""

import re

import pytest

from mtl_tutorial.classroom.questions import questions_of
from mtl_tutorial.lessons import LESSONS

WRITTEN = [entry.number for entry in LESSONS
           if entry.number != "00" and (entry.available or (entry.content / "quiz.yaml").exists())]


@pytest.mark.parametrize("number", WRITTEN)
def test_quiz_has_enough_questions(number):
    assert len(questions_of(number)) >= 8


@pytest.mark.parametrize("number", WRITTEN)
def test_every_option_is_explained_in_its_own_words(number):
    for question in questions_of(number):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", question.id)
        reasons = [option.why for option in question.options]
        assert len(set(reasons)) == len(reasons), question.id
        assert all(len(why) > 15 and why != option.text
                   for why, option in zip(reasons, question.options, strict=True)), question.id


@pytest.mark.parametrize("number", WRITTEN)
def test_place_and_length_do_not_give_the_answer_away(number):
    questions = questions_of(number)
    first = sum(question.options[0].correct for question in questions)
    longest = sum(max(question.options, key=lambda option: len(option.text)).correct for question in questions)
    assert 0 < first < 0.7 * len(questions)
    assert longest < 0.8 * len(questions)

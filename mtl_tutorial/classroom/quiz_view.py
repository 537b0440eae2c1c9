"""``quiz``: the questions of a lesson, answered by clicking; each answer is explained."""

from collections.abc import Sequence
from string import ascii_uppercase

from ipywidgets import Button, HBox, HTMLMath, Layout, ToggleButton, VBox

from mtl_tutorial.classroom.markup import show_widget, to_inline_html
from mtl_tutorial.classroom.progress import progress
from mtl_tutorial.classroom.questions import Option, Question, questions_of


def quiz(number: str) -> None:
    """Show the quiz of a lesson: with a kernel to click through, without one as a page that unfolds.

    Args:
        number: of the lesson, ``"01"``.

    Raises:
        ValueError: the lesson has no quiz, or its ``quiz.yaml`` is not well formed.
    """
    questions = questions_of(number)
    if not questions:
        raise ValueError(f"lesson {number} has no quiz.yaml")
    widget = VBox([question_widget(f"{number}.{question.id}", place, question)
                   for place, question in enumerate(questions, 1)])
    static = "".join(_static(place, question) for place, question in enumerate(questions, 1))
    show_widget(widget, static, f"Quiz: {len(questions)} questions")


def question_widget(id: str, place: int, question: Question) -> VBox:
    """Return one question with its buttons; an answer is explained below and recorded under ``id``."""
    explanation = HTMLMath()

    def answer(chosen: Sequence[Option]) -> None:
        right = list(chosen) == [option for option in question.options if option.correct]
        progress().record("answer", id, "right" if right else "wrong")
        explanation.value = _explain(question, chosen, right)

    buttons = _several_choices(question, answer) if question.several else _one_choice(question, answer)
    return VBox([HTMLMath(_question_html(place, question)), HBox(buttons), explanation],
                layout=Layout(margin="0 0 1.5em 0"))


def _one_choice(question: Question, answer) -> list[Button]:
    buttons = [Button(description=letter, layout=Layout(width="3em")) for letter in _letters(question)]
    for button, option in zip(buttons, question.options, strict=True):
        button.on_click(lambda _, option=option: answer([option]))
    return buttons


def _several_choices(question: Question, answer) -> list[Button | ToggleButton]:
    toggles = [ToggleButton(description=letter, layout=Layout(width="3em")) for letter in _letters(question)]
    submit = Button(description="Answer")
    submit.on_click(lambda _: answer([option for option, toggle in zip(question.options, toggles, strict=True)
                                      if toggle.value]))
    return [*toggles, submit]


def _letters(question: Question) -> str:
    return ascii_uppercase[:len(question.options)]


def _question_html(place: int, question: Question) -> str:
    several = " <i>(several are right)</i>" if question.several else ""
    options = "".join(f"<div><b>{letter}.</b> {to_inline_html(option.text)}</div>"
                      for letter, option in zip(_letters(question), question.options, strict=True))
    return f"<div><b>{place}.</b> {to_inline_html(question.question)}{several}</div>{options}"


def _explain(question: Question, chosen: Sequence[Option], right: bool) -> str:
    if not chosen:
        return "Choose an answer first."
    verdict = "Right." if right else "Not quite."
    if not right and all(option.correct for option in chosen):
        verdict = "Right so far, but not all of it."
    return f"<b>{verdict}</b>{_reasons(question, chosen)}"


def _reasons(question: Question, options: Sequence[Option]) -> str:
    told = zip(_letters(question), question.options, strict=True)
    return "".join(f"<div><b>{letter}</b> is {'right' if option.correct else 'wrong'}: "
                   f"{to_inline_html(option.why)}</div>" for letter, option in told if option in options)


def _static(place: int, question: Question) -> str:
    return (f"<div style='margin-bottom:1em'>{_question_html(place, question)}"
            f"<details><summary>Answer</summary>{_reasons(question, question.options)}</details></div>")

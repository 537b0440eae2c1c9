"""``cards``: the interview questions of a lesson, in English and Chinese, with what the lesson shows for each."""

from html import escape

from ipywidgets import Button, HBox, HTMLMath, Layout, ToggleButtons, VBox

from mtl_tutorial.classroom.interview import Card, cards_of
from mtl_tutorial.classroom.markup import show_widget, to_html, to_inline_html

WORDS = {
    "en": {"answer": "Answer", "follow_ups": "Follow-up questions", "trap": "Trap", "evidence": "Where you saw it"},
    "zh": {"answer": "参考答案", "follow_ups": "追问", "trap": "易错点", "evidence": "本课中的证据",
           "concept": "概念", "derivation": "推导", "coding": "编程", "system design": "系统设计",
           "debugging": "排错"},
}


def cards(number: str) -> None:
    """Show the interview cards of a lesson, one at a time; without a kernel, all of them as a page that unfolds.

    Args:
        number: of the lesson, ``"01"``.

    Raises:
        ValueError: the lesson has no cards, or its ``interview.yaml`` is not well formed.
    """
    deck = cards_of(number)
    if not deck:
        raise ValueError(f"lesson {number} has no interview.yaml")
    static = "".join(f"{_card_html(card, place, 'en')}{_card_html(card, place, 'zh')}<hr>"
                     for place, card in enumerate(deck, 1))
    show_widget(deck_widget(deck), static, f"Interview cards: {len(deck)}, in English and Chinese")


def deck_widget(deck: list[Card]) -> VBox:
    """Return the deck with a switch of language and buttons to turn the cards."""
    language = ToggleButtons(options=[("English", "en"), ("中文", "zh")], style={"button_width": "6em"})
    back, on = (Button(description=arrow, tooltip=f"{which} card", layout=Layout(width="4em"))
                for arrow, which in (("◀", "previous"), ("▶", "next")))
    face = HTMLMath()
    place = 0

    def show(step: int = 0) -> None:
        nonlocal place
        place = (place + step) % len(deck)
        face.value = _card_html(deck[place], place + 1, language.value, f" / {len(deck)}")

    back.on_click(lambda _: show(-1))
    on.on_click(lambda _: show(+1))
    language.observe(lambda _: show(), names="value")
    show()
    return VBox([HBox([language, back, on]), face])


def _card_html(card: Card, place: int, language: str, of: str = "") -> str:
    words = WORDS[language]
    follow_ups = "".join(f"<li>{to_inline_html(text)}</li>" for text in card.follow_ups[language])
    evidence = ", ".join(_evidence_html(item) for item in card.evidence)
    return (f"<div lang='{language}'><div><b>{place}{of}</b> · {words.get(card.kind, card.kind)}</div>"
            f"<div><b>{to_inline_html(card.question[language])}</b></div>"
            f"<details><summary>{words['answer']}</summary>{to_html(card.answer[language])}"
            f"<p><b>{words['trap']}.</b> {to_inline_html(card.trap[language])}</p>"
            f"<p><b>{words['follow_ups']}</b></p><ul>{follow_ups}</ul>"
            f"<p><b>{words['evidence']}:</b> {evidence}</p></details></div>")


def _evidence_html(item: str) -> str:
    """Return a section in quotes, the id of a claim or an exercise as code."""
    section = item.removeprefix("cell:")
    return f"“{escape(section)}”" if section != item else f"<code>{escape(item.removeprefix('exercise:'))}</code>"

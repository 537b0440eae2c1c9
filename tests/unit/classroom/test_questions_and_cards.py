import copy

import pytest
import yaml

from mtl_tutorial.classroom.card_view import deck_widget
from mtl_tutorial.classroom.interview import cards_of
from mtl_tutorial.classroom.markup import to_html, to_inline_html
from mtl_tutorial.classroom.progress import progress
from mtl_tutorial.classroom.questions import questions_of
from mtl_tutorial.classroom.quiz_view import question_widget
from mtl_tutorial.classroom.yaml_entries import ContentError
from mtl_tutorial.lessons import Lesson

QUIZ = [
    {"id": "gate_axis", "question": "Over which axis does the **gate's** softmax run, if $a<b$?",
     "options": [{"text": "the experts", "correct": True, "why": "weights of one row sum to $1$"},
                 {"text": "the batch", "correct": False, "why": "rows would compete"}]},
    {"id": "sharing", "question": "What do the tasks share?",
     "options": [{"text": "experts", "correct": True, "why": "one bank"},
                 {"text": "gates", "correct": False, "why": "one per task"},
                 {"text": "embeddings", "correct": True, "why": "one table"}]},
]
CARD = {
    "id": "when_sharing_hurts", "kind": "concept",
    "question": {"en": "When does sharing hurt?", "zh": "共享何时有害？"},
    "answer": {"en": "When gradients conflict.\n\n- $g_1 \\cdot g_2 < 0$", "zh": "梯度冲突时。"},
    "follow_ups": {"en": ["How to see it?"], "zh": ["如何发现？"]},
    "trap": {"en": "Blaming capacity.", "zh": "归因于容量。"},
    "evidence": ["01.gates_differ", "exercise:01.mix_experts", "cell:When it fails"],
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the YAML of lesson 01 to a folder of this test's own."""
    monkeypatch.setattr(Lesson, "content", property(lambda entry: tmp_path / entry.folder))

    def write(name: str, content) -> None:
        path = tmp_path / "multi_task" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True))
    return write


def test_lesson_without_files_has_no_questions_and_no_cards(write):
    assert questions_of("01") == []
    assert cards_of("01") == []


@pytest.mark.parametrize(("change", "message"), [
    (lambda quiz: quiz[1]["options"][2].pop("why"),
     r"multi_task/quiz\.yaml, entry 2 \(sharing\), options 3: field 'why' is missing"),
    (lambda quiz: quiz[0].update(question=" "), r"entry 1 \(gate_axis\): field 'question' is ' '; text is needed"),
    (lambda quiz: quiz[0].pop("id"), "entry 1: field 'id' is missing"),
    (lambda quiz: quiz[0].update(hint="x"), "unknown field 'hint'; fields are id, question, options"),
    (lambda quiz: quiz[0]["options"][0].update(correct="yes"), "field 'correct' is 'yes'; true or false is needed"),
    (lambda quiz: quiz[0]["options"][0].update(correct=False), "two options or more, at least one correct"),
    (lambda quiz: quiz[0]["options"].pop(), "two options or more"),
    (lambda quiz: quiz[1].update(id="gate_axis"), r"entry 2 \(gate_axis\): an earlier entry has the same id"),
    (lambda quiz: quiz.append("more"), "entry 3: a mapping is needed, not 'more'"),
])
def test_error_in_a_quiz_names_file_entry_and_field(write, change, message):
    quiz = copy.deepcopy(QUIZ)
    change(quiz)
    write("quiz.yaml", quiz)
    with pytest.raises(ContentError, match=message):
        questions_of("01")


@pytest.mark.parametrize(("text", "message"), [
    ("- id: [", r"multi_task/quiz\.yaml, line 1: not valid YAML"),
    ("id: a", r"multi_task/quiz\.yaml: a list of entries is needed"),
    ("", "a list of entries is needed"),
])
def test_file_that_is_no_list_of_entries_is_named(write, text, message):
    write("quiz.yaml", text)
    with pytest.raises(ContentError, match=message):
        questions_of("01")


@pytest.mark.parametrize(("change", "message"), [
    (lambda card: card["answer"].pop("zh"),
     r"multi_task/interview\.yaml, entry 1 \(when_sharing_hurts\), answer: field 'zh' is missing"),
    (lambda card: card["question"].update(fr="?"), "question: unknown field 'fr'; fields are en, zh"),
    (lambda card: card["follow_ups"].update(zh=[]), r"follow_ups: field 'zh' is \[\]; a list is needed"),
    (lambda card: card["follow_ups"].update(zh=[3]), "field 'zh' holds something that is not text"),
    (lambda card: card.update(kind="riddle"), "field 'kind' is 'riddle'; kinds are concept, derivation"),
    (lambda card: card.update(evidence=["page 3"]), "field 'evidence' has 'page 3'"),
])
def test_error_in_a_card_names_file_entry_and_field(write, change, message):
    card = copy.deepcopy(CARD)
    change(card)
    write("interview.yaml", [card])
    with pytest.raises(ContentError, match=message):
        cards_of("01")


def test_quiz_is_one_output_with_a_page_that_needs_no_kernel(shell, write):
    write("quiz.yaml", QUIZ)
    [output] = shell.run("from mtl_tutorial.classroom import quiz\nquiz('01')")
    assert set(output.data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    page = output.data["text/html"]
    assert page.count("<details>") == 2
    assert "<strong>gate's</strong>" in page.replace("&#39;", "'")
    assert "$a&lt;b$" in page
    assert "rows would compete" in page
    assert output.data["text/plain"] == "Quiz: 2 questions"


def test_answer_is_explained_and_recorded(state, write):
    write("quiz.yaml", QUIZ)
    _, buttons, explanation = question_widget("01.gate_axis", 1, questions_of("01")[0]).children
    buttons.children[1].click()
    assert "Not quite." in explanation.value
    assert "rows would compete" in explanation.value
    assert "sum to $1$" not in explanation.value
    assert progress().answered() == set()
    buttons.children[0].click()
    assert "Right." in explanation.value
    assert progress().answered() == {"01.gate_axis"}


def test_question_with_several_right_answers_wants_all_of_them(state, write):
    write("quiz.yaml", QUIZ)
    _, buttons, explanation = question_widget("01.sharing", 2, questions_of("01")[1]).children
    *letters, submit = buttons.children
    submit.click()
    assert "Choose an answer first." in explanation.value
    letters[2].value = True
    submit.click()
    assert "Right so far, but not all of it." in explanation.value
    letters[0].value = True
    submit.click()
    assert "Right." in explanation.value
    assert progress().answered() == {"01.sharing"}
    letters[1].value = True
    submit.click()
    assert "Not quite." in explanation.value


def test_cards_are_one_output_with_both_languages_on_the_page(shell, write):
    write("interview.yaml", [CARD])
    [output] = shell.run("from mtl_tutorial.classroom import cards\ncards('01')")
    assert "application/vnd.jupyter.widget-view+json" in output.data
    page = output.data["text/html"]
    assert page.count("<details>") == 2
    for text in ("When does sharing hurt?", "追问", "共享何时有害？", "$g_1 \\cdot g_2 &lt; 0$", "“When it fails”"):
        assert text in page


def test_deck_turns_cards_and_switches_language(write):
    other = CARD | {"id": "other", "kind": "coding", "question": {"en": "Code it.", "zh": "写代码。"}}
    write("interview.yaml", [CARD, other])
    bar, face = deck_widget(cards_of("01")).children
    language, back, on = bar.children
    assert "When does sharing hurt?" in face.value
    on.click()
    assert "2 / 2" in face.value
    assert "Code it." in face.value
    language.value = "zh"
    assert "写代码。" in face.value
    assert "编程" in face.value
    back.click()
    back.click()
    assert "写代码。" in face.value


@pytest.mark.parametrize("show", ["quiz", "cards"])
def test_lesson_that_lacks_them_says_so(write, show):
    from mtl_tutorial import classroom
    with pytest.raises(ValueError, match="lesson 01 has no"):
        getattr(classroom, show)("01")


def test_mathematics_is_left_for_the_page():
    assert to_html("$a_1 < b_1$ and *c*") == "<p>$a_1 &lt; b_1$ and <em>c</em></p>"
    assert to_html("$$\na_1\n$$") == "<div>$$a_1$$</div>"
    assert to_inline_html("one `$x`") == "one <code>$x</code>"
    assert to_inline_html("<b>bold</b>") == "&lt;b&gt;bold&lt;/b&gt;"

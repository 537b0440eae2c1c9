import guards
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mtl_tutorial.bootstrap import ROOT
from mtl_tutorial.classroom.ledger import claims_of
from mtl_tutorial.commands.parameters import read_full, unknown
from mtl_tutorial.lessons import LESSONS

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("rule", guards.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook(path, rule):
    assert list(rule(nbformat.read(path, as_version=4), path.name[:2])) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_listed_as_a_lesson(path):
    assert path.name in {lesson.notebook for lesson in LESSONS}


@pytest.mark.skipif(not NOTEBOOKS, reason="there are no notebooks")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_claim_is_committed_that_failed(path):
    """nbval compares with what is committed: a failure that was committed would pass for ever."""
    assert [claim for claim in claims_of(nbformat.read(path, 4)) if not claim["held"]] == []


def test_every_key_of_full_yaml_reaches_its_notebook():
    for number, parameters in read_full(ROOT / "notebooks" / "full.yaml").items():
        (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
        assert unknown(path, parameters) == [], path.name


def code(source, count, tags=(), outputs=()):
    return new_code_cell(source, execution_count=count, metadata={"tags": list(tags)}, outputs=list(outputs))


def notebook(*cells, parameters="SEED = 0\nROWS = 60_000"):
    return new_notebook(cells=[code(parameters, 1, ["parameters"]), *cells])


def claim(source, count=2, tags=("nbval-check-output",)):
    return code(source, count, tags)


GOOD = notebook(
    new_markdown_cell("# A lesson\n[the paper](https://arxiv.org/abs/1706.05098)"),
    code("%matplotlib inline\nfrom mtl_tutorial.classroom import setup\nsetup(seed=SEED)", 2),
    claim("claim('99.a', 't', auc, at_least(0.9))\nclaim('99.b', 't', value=gap.mean(), predicate=gains())", 3),
    code("", None),
)

BREACHES = [
    (guards.outputs_are_fit_to_commit, notebook(code("x", 2, outputs=[new_output("stream", name="stderr")]))),
    (guards.outputs_are_fit_to_commit, notebook(code("x", 2, outputs=[new_output("error", ename="E", evalue="")]))),
    (guards.executed_top_to_bottom, notebook(code("x", 3))),
    (guards.executed_top_to_bottom, notebook(code("x", None))),
    (guards.begins_with_parameters, new_notebook(cells=[code("SEED = 0", 1)])),
    (guards.begins_with_parameters, notebook(code("ROWS = 1", 2, ["parameters"]))),
    (guards.begins_with_parameters, notebook(parameters="ROWS = 1")),
    (guards.begins_with_parameters, notebook(parameters="SEED = 0\nROWS: int = 1")),
    (guards.begins_with_parameters, notebook(parameters="SEED = 0\nROWS = 2 * SEED")),
    (guards.begins_with_parameters, notebook(parameters="SEED = 0\nif SEED:\n    ROWS = 1")),
    (guards.claims_stand_alone_and_are_checked, notebook(claim("x = f()\nclaim('99.a', 't', x, at_least(1))"))),
    (guards.claims_stand_alone_and_are_checked, notebook(claim("if x:\n    claim('99.a', 't', x, at_least(1))"))),
    (guards.claims_stand_alone_and_are_checked, notebook(claim("claim('99.a', 'text', x, at_least(1))", tags=()))),
    (guards.claims_could_be_false, notebook(claim("claim('99.a', 'text', 0.95, at_least(0.9))"))),
    (guards.claims_could_be_false, notebook(claim("claim('99.a', 'text', float('0.95'), at_least(0.9))"))),
    (guards.claims_could_be_false, notebook(claim("claim('99.a', 'text', value=[1, 2], predicate=at_least(0))"))),
    (guards.claims_have_ids_of_their_own, notebook(claim("claim('98.a', 'text', x, at_least(1))"))),
    (guards.claims_have_ids_of_their_own, notebook(claim("claim(name, 'text', x, at_least(1))"))),
    (guards.claims_have_ids_of_their_own, notebook(claim("claim('99.a', 't', x, y)\nclaim('99.a', 't', z, y)"))),
    (guards.gives_no_answers_away, notebook(code("hint('99.a')", 2))),
    (guards.gives_no_answers_away, notebook(code("classroom.solution('99.a')", 2))),
    (guards.fetches_nothing, notebook(code("pandas.read_csv('https://example.org/x.csv')", 2))),
    (guards.fetches_nothing, notebook(code("from urllib.request import urlopen", 2))),
    (guards.fetches_nothing, notebook(code("import numpy, requests", 2))),
    (guards.fetches_nothing, notebook(code("!curl example.org", 2))),
    (guards.fetches_nothing, notebook(new_markdown_cell("![plot](https://example.org/plot.png)"))),
]


@pytest.mark.parametrize("rule", guards.RULES, ids=lambda rule: rule.__name__)
def test_a_good_notebook_breaks_no_rule(rule):
    assert list(rule(GOOD, "99")) == []


@pytest.mark.parametrize(("rule", "bad"), BREACHES, ids=lambda value: getattr(value, "__name__", "notebook"))
def test_a_notebook_that_breaks_a_rule_is_found(rule, bad):
    assert len(list(rule(bad, "99"))) == 1


def test_every_rule_is_broken_by_some_notebook():
    assert {rule for rule, _ in BREACHES} == set(guards.RULES)

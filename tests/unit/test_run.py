import json

import pytest

from mtl_tutorial.commands.parameters import read_full
from mtl_tutorial.commands.run import execute, planned, report, write_tables

CLAIM = """
from IPython.display import display
def claim(id, held):
    note = {"claim": id, "held": held, "value": SEED, "expected": "at least 1"}
    display({"text/plain": id}, raw=True, metadata={"mtl_tutorial": note})
"""


@pytest.fixture
def folder(tmp_path, write_notebook):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write_notebook(folder / "00_start.ipynb", "SEED = 0")
    claims = "claim('01.sure', True)\nclaim('01.seed', SEED > 0)"
    write_notebook(folder / "01_tasks.ipynb", "SEED = 0\nROWS = 10", CLAIM, claims)
    return folder


@pytest.fixture
def out(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    return out


def test_the_table_counts_claims_and_names_those_that_did_not_hold(folder, out):
    result = execute(folder / "01_tasks.ipynb", {}, out)
    assert (result.held, len(result.claims), result.error, result.passed) == (1, 2, None, False)
    assert result.seconds > 0
    assert result.peak_mib > 10
    lines = report([result])
    assert lines[:2] == ["| notebook | seconds | peak MiB | claims held |", "|---|---:|---:|---:|"]
    assert lines[2].startswith("| 01_tasks | ")
    assert lines[2].endswith(" | 1/2 |")
    assert lines[-1] == "✗ 01.seed: measured 0, expected at least 1"
    write_tables([result], out)
    assert (out / "table.md").read_text("utf-8").splitlines() == lines
    (row,) = json.loads((out / "table.json").read_text("utf-8"))
    assert (row["notebook"], row["held"], len(row["claims"])) == ("01_tasks", 1, 2)


def test_parameters_reach_the_notebook(folder, out):
    result = execute(folder / "01_tasks.ipynb", {"SEED": 3}, out)
    assert result.passed
    assert [claim["value"] for claim in result.claims] == [3, 3]


def test_a_notebook_that_fails_keeps_its_claims_and_says_why(folder, out, write_notebook):
    cells = ["SEED = 0", CLAIM, "claim('02.early', True)", "1 / 0", "claim('02.late', True)"]
    path = write_notebook(folder / "02_bad.ipynb", *cells)
    result = execute(path, {}, out)
    assert not result.passed
    assert [claim["claim"] for claim in result.claims] == ["02.early"]
    lines = report([result])
    assert lines[2].endswith(" | 1/1, failed |")
    assert lines[-1] == "02_bad failed: ZeroDivisionError: division by zero"


def test_a_kernel_that_dies_is_a_failure_of_its_notebook_alone(folder, out, write_notebook):
    path = write_notebook(folder / "02_bad.ipynb", "SEED = 0", "import os; os._exit(1)")
    assert "DeadKernelError" in execute(path, {}, out).error


def test_full_scale_takes_the_parameters_of_full_yaml_and_the_seed(folder):
    (folder / "full.yaml").write_text('"01": {ROWS: 1000}\n')
    paths = sorted(folder.glob("*.ipynb"))
    assert list(planned(paths, "full", 7).values()) == [{"SEED": 7}, {"ROWS": 1000, "SEED": 7}]
    assert list(planned(paths, "ci", None).values()) == [{}, {}]


def test_an_unknown_parameter_is_refused_before_anything_runs(folder):
    (folder / "full.yaml").write_text('"01": {ROW: 1000}\n')
    with pytest.raises(SystemExit, match=r"01_tasks.ipynb has no parameter ROW$"):
        planned(sorted(folder.glob("*.ipynb")), "full", None)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("01: {ROWS: 1}", 'write the lesson number 1 in quotes, e.g. "01"'),
        ('"07": {ROWS: 1}', "there is no notebook 07"),
        ('"01": ROWS', "lesson 01 needs parameters"),
        ("ROWS", "lesson numbers with their parameters are expected"),
    ],
)
def test_a_wrong_full_yaml_is_explained(folder, text, line):
    (folder / "full.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"full.yaml: {line}"):
        read_full(folder / "full.yaml")


def test_a_missing_full_yaml_is_named(folder):
    with pytest.raises(SystemExit, match=r"full\.yaml"):
        planned(sorted(folder.glob("*.ipynb")), "full", None)

import argparse
import os
import sys
from importlib import import_module

import pytest

from mtl_tutorial.commands import main, parse
from mtl_tutorial.commands import test as test_command
from mtl_tutorial.commands.data import DATA_SETS
from mtl_tutorial.commands.data import main as data_main
from mtl_tutorial.commands.isolation import isolated
from mtl_tutorial.commands.selection import chosen


def test_words_after_two_dashes_go_to_pytest():
    options = parse(["test", "--quick", "--", "-k", "gates", "--pdb"])
    assert options.quick
    assert options.extra == ["-k", "gates", "--pdb"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "--", "x"], "only 'test' takes words after '--'"),
        (["lab", "--port", "70000"], "'70000' is not a port"),
        (["lab", "--port", "http"], "'http' is not a port"),
        (["serve"], "invalid choice"),
        ([], "required"),
    ],
)
def test_wrong_words_are_named(words, line, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(words)
    assert stop.value.code == 2
    assert line in capsys.readouterr().err


def test_the_tests_go_on_after_a_stage_that_fails(monkeypatch, capfd):
    stages = {
        "lint": [sys.executable, "-c", "raise SystemExit(1)"],
        "tests": [sys.executable, "-c", "import socket; socket.getaddrinfo('example.org', 80)"],
        "last": [sys.executable, "-c", "import os; assert os.environ['MTL_TUTORIAL_QUIET'] == '1'"],
    }
    monkeypatch.setattr(test_command, "stages", lambda quick, extra: stages)
    assert main(["test", "--here"]) == 1
    shown = capfd.readouterr()
    assert [line.split()[:2] for line in shown.out.splitlines()[-3:]] == [
        ["FAILED", "lint"], ["FAILED", "tests"], ["passed", "last"],
    ]
    assert "refused to reach example.org" in shown.err


def test_without_notebooks_there_is_no_stage_for_them(monkeypatch, tmp_path):
    monkeypatch.setattr(test_command, "ROOT", tmp_path)
    assert list(test_command.stages(False, [])) == ["lint", "tests"]


def test_quick_is_lesson_01_and_the_unit_tests(monkeypatch, tmp_path):
    monkeypatch.setattr(test_command, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    for name in ("00_start.ipynb", "01_tasks.ipynb"):
        (tmp_path / "notebooks" / name).touch()
    quick = test_command.stages(True, ["-k", "x"])
    (lesson,) = (word for word in quick["notebooks"] if word.endswith(".ipynb"))
    assert lesson == os.path.join("notebooks", "01_tasks.ipynb")
    assert "tests/unit" in quick["tests"]
    assert quick["tests"][-2:] == ["-k", "x"]
    assert len([word for word in test_command.stages(False, [])["notebooks"] if word.endswith(".ipynb")]) == 2


def test_isolation_hides_the_learners_state_and_gives_everything_back(monkeypatch):
    monkeypatch.setenv("MTL_TUTORIAL_STATE", "mine")
    monkeypatch.setenv("MTL_TUTORIAL_DRIVE", "1")
    before = dict(os.environ)
    with isolated():
        folder = os.environ["MTL_TUTORIAL_STATE"]
        assert os.listdir(folder) == []
        assert "MTL_TUTORIAL_DRIVE" not in os.environ
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MTL_TUTORIAL_THREADS"] == "1"
    assert dict(os.environ) == before
    assert not os.path.exists(folder)


def test_notebooks_are_chosen_by_number_and_an_unknown_one_is_named(tmp_path):
    for name in ("00_start.ipynb", "01_tasks.ipynb"):
        (tmp_path / name).touch()
    assert [path.name for path in chosen(tmp_path, [])] == ["00_start.ipynb", "01_tasks.ipynb"]
    assert [path.name for path in chosen(tmp_path, ["01"])] == ["01_tasks.ipynb"]
    with pytest.raises(SystemExit, match="no notebook has the number 02; there are: 00, 01"):
        chosen(tmp_path, ["02"])


def test_an_unknown_data_set_is_named():
    with pytest.raises(SystemExit, match="there is no data set cencus; there are: census"):
        data_main(argparse.Namespace(names=["cencus"]))


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_data_set_has_a_module_that_rebuilds_it(name):
    assert callable(import_module(f"mtl_tutorial.data.{name}_source").rebuild)

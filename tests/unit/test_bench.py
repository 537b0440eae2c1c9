import argparse
import re
import subprocess
import sys

import pytest

from mtl_tutorial import bootstrap
from mtl_tutorial.bootstrap import ROOT, Environment
from mtl_tutorial.commands import ENVIRONMENTS, bench, main, parse


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkout with three comparisons, one of which fails, and a helper that is none."""
    found = tmp_path / "benchmarks"
    found.mkdir()
    for name, body in (("quick", "print('quick ran')"), ("broken", "raise SystemExit(3)"),
                       ("slow", "print('slow ran')")):
        (found / f"{name}.py").write_text(f'if __name__ == "__main__":\n    {body}\n')
    (found / "rounds.py").write_text("def interleaved(): ...\n")
    monkeypatch.setattr(bench, "FOLDER", found)
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    return found


def run(*names, quick=False):
    return bench.main(argparse.Namespace(names=list(names), quick=quick))


def test_comparisons_are_the_modules_that_can_be_run(folder):
    assert bench.comparisons() == ["broken", "quick", "slow"]


def test_names_are_taken_from_the_command_line(folder):
    assert parse(["bench"]).names == []
    assert parse(["bench", "quick", "slow"]).names == ["quick", "slow"]


def test_an_unknown_name_ends_with_one_line_before_anything_is_installed(folder, monkeypatch):
    monkeypatch.setattr(bootstrap, "ensure", lambda *_, **__: pytest.fail("an environment was wanted"))
    with pytest.raises(SystemExit) as stop:
        main(["bench", "quick", "rounds"])
    assert stop.value.code == "mtl_tutorial: there is no comparison rounds; there are: broken, quick, slow"


def test_the_named_comparisons_run_in_the_given_order(folder, capfd):
    assert run("slow", "quick") == 0
    assert re.findall(r"\w+ ran", capfd.readouterr().out) == ["slow ran", "quick ran"]


def test_all_run_without_a_name_and_one_that_fails_stops_no_other(folder, capfd):
    assert run() == 1
    shown = capfd.readouterr()
    assert re.findall(r"\w+ ran", shown.out) == ["quick ran", "slow ran"]
    assert shown.err == "mtl_tutorial: failed: broken\n"


def test_the_quick_form_is_asked_of_every_comparison(folder, capfd):
    (folder / "quick.py").write_text('if __name__ == "__main__":\n    import sys\n    print(sys.argv[1:])\n')
    assert run("quick") == 0
    assert run("quick", quick=parse(["bench", "--quick"]).quick) == 0
    assert re.findall(r"\[.*\]", capfd.readouterr().out) == ["[]", "['--quick']"]


def test_comparisons_have_an_environment_of_their_own_whose_files_make_it_stale(tmp_path):
    assert ENVIRONMENTS["bench"].folder == ROOT / "benchmarks" / ".venv"
    assert "lab" not in ENVIRONMENTS
    (tmp_path / "benchmarks").mkdir()
    for name in ("benchmarks/requirements.txt", "constraints.txt"):
        (tmp_path / name).write_text("# nothing\n")
    environment = Environment(tmp_path / "benchmarks", ENVIRONMENTS["bench"].files)
    seen = [environment.wanted()]
    for name in ("benchmarks/requirements.txt", "constraints.txt"):
        (tmp_path / name).write_text("numpy==2.4.6\n")
        seen.append(environment.wanted())
    assert len({wanted["requirements"] for wanted in seen}) == 3


def test_the_command_is_started_again_in_that_environment(monkeypatch):
    started = []
    monkeypatch.setattr(Environment, "is_complete", lambda self: True)
    monkeypatch.setattr(bootstrap, "_go_on", lambda python, words: started.append((python, words)))
    monkeypatch.setattr(bench, "main", lambda options: 0)
    name = bench.comparisons()[0]
    assert main(["bench", name]) == 0
    assert started == [(ENVIRONMENTS["bench"].python, ["bench", name])]


def requirements(path):
    return dict(line.split("==") for line in path.read_text("utf-8").splitlines() if "==" in line)


def test_requirements_of_the_comparisons_are_pinned_as_the_lessons_pin_them_where_they_do():
    frozen = {name.lower(): version for name, version in requirements(ROOT / "constraints.txt").items()}
    wanted = requirements(ROOT / "benchmarks" / "requirements.txt")
    shared = wanted.keys() & frozen.keys()
    assert {"torch", "numpy"} <= shared
    assert {name: wanted[name] for name in shared} == {name: frozen[name] for name in shared}
    lines = (ROOT / "benchmarks" / "requirements.txt").read_text("utf-8").splitlines()
    assert all(re.fullmatch(r"#.*|-c .*||[\w-]+==[\w.]+", line) for line in lines), "a version is left open"


@pytest.mark.parametrize("name", bench.comparisons())
def test_every_comparison_says_what_it_takes(name):
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--help"], cwd=ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert "--rounds" in done.stdout
    assert "--quick" in done.stdout

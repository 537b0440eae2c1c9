import ast
import json
import os
import subprocess
import sys

import pytest

from mtl_tutorial import bootstrap
from mtl_tutorial.bootstrap import ROOT, Environment, missing

MAKE = "import sys; from mtl_tutorial.bootstrap import *; Environment(Path(sys.argv[1])).make()"


@pytest.fixture
def environment(tmp_path):
    """The environment of a checkout, in a path with a space, that requires nothing."""
    root = tmp_path / "a checkout"
    root.mkdir()
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        (root / name).write_text("# nothing\n")
    return Environment(root)


@pytest.fixture
def complete(environment):
    """An environment that looks complete: a Python and a valid stamp."""
    environment.python.parent.mkdir(parents=True)
    environment.python.write_text("")
    environment.stamp.write_text(json.dumps(environment.wanted()))
    assert environment.is_complete()
    return environment


def make(environment):
    return subprocess.Popen(
        [sys.executable, "-c", MAKE, str(environment.root)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_a_changed_requirement_makes_the_environment_stale(complete):
    (complete.root / "constraints.txt").write_text("numpy==2.4.6\n")
    assert not complete.is_complete()


def test_a_moved_checkout_makes_the_environment_stale(complete):
    moved = complete.root.rename(complete.root.with_name("elsewhere"))
    assert not Environment(moved).is_complete()


def test_another_python_makes_the_environment_stale(complete, monkeypatch):
    monkeypatch.setattr(sys.implementation, "cache_tag", "cpython-399")
    assert not complete.is_complete()


@pytest.mark.parametrize("stamp", ["", "{", "[]", "null"])
def test_a_damaged_stamp_counts_as_none(complete, stamp):
    complete.stamp.write_text(stamp)
    assert not complete.is_complete()


def test_two_processes_make_one_environment_and_a_second_call_starts_at_once(environment):
    both = [make(environment), make(environment)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("making" in text for text in said) == 1
    assert environment.is_complete()
    written = environment.stamp.stat().st_mtime_ns
    environment.make()
    assert environment.stamp.stat().st_mtime_ns == written


def test_an_interrupted_installation_is_begun_again_from_nothing(environment, monkeypatch):
    created = []
    monkeypatch.setattr(Environment, "_create", lambda self: created.append(self))
    monkeypatch.setattr(Environment, "_install", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    environment.python.parent.mkdir(parents=True)
    environment.python.write_text("")
    with pytest.raises(KeyboardInterrupt):
        environment.make()
    assert not environment.is_complete()
    assert not environment.stamp.exists()
    monkeypatch.setattr(Environment, "_install", lambda self: None)
    environment.make()
    assert len(created) == 2
    assert environment.is_complete()


def test_a_changed_requirement_is_installed_into_the_environment_there_is(complete, monkeypatch):
    installed = []
    monkeypatch.setattr(Environment, "_create", lambda self: pytest.fail("made from nothing"))
    monkeypatch.setattr(Environment, "_install", lambda self: installed.append(self))
    (complete.root / "requirements.txt").write_text("# another\n")
    complete.make()
    assert installed == [complete]
    assert complete.is_complete()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for .venv's Python is a shell script")
def test_pip_failing_ends_with_its_own_last_error_and_one_line_of_ours(complete, capfd):
    complete.python.write_text(f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n")
    complete.python.chmod(0o755)
    (complete.root / "requirements.txt").write_text("./no_such_folder\n")
    with pytest.raises(SystemExit, match=r"^mtl_tutorial: pip could not install requirements.txt; .*install.log$"):
        complete.make()
    assert "no_such_folder" in capfd.readouterr().err
    assert not complete.stamp.exists()


def test_a_python_without_ensurepip_is_told_the_package_to_install(environment, monkeypatch):
    monkeypatch.setattr(bootstrap, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"apt install python3\.\d+-venv"):
        environment.make()


def test_a_folder_that_cannot_be_written_is_named(environment, monkeypatch):
    environment.folder.write_text("a file where the folder should be")
    monkeypatch.setattr(bootstrap, "ROOT", environment.root)
    with pytest.raises(SystemExit, match=r"cannot make .*a checkout.*venv"):
        bootstrap.ensure(["lab"], here=False)


def test_an_old_python_gets_one_line():
    pretend = (
        "import sys, runpy; sys.version_info = (3, 6, 15, 'final', 0);"
        "runpy.run_module('mtl_tutorial', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", pretend], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("mtl_tutorial needs Python 3.11 or newer, this is 3.6 ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py"])
def test_an_old_python_can_read_what_it_reads_before_the_check(name):
    ast.parse((ROOT / "mtl_tutorial" / name).read_text("utf-8"), feature_version=(3, 6))


def test_nothing_but_the_standard_library_is_needed_before_the_environment_exists():
    command = [sys.executable, "-S", "-m", "mtl_tutorial", "lab", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_here_names_what_this_python_lacks(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("# comment\n-e .\nnumpy==0.0.1\nno-such-package==1.0\n")
    assert missing(file) == ["no-such-package"]

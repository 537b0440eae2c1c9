import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from mtl_tutorial.classroom.progress import Progress, progress, state_folder


def notices(shell, folder) -> list[str]:
    """Open the progress of a folder in a notebook; return the notices it shows."""
    shell["folder"] = folder
    return shell.texts("from mtl_tutorial.classroom.progress import Progress\nopened = Progress(folder)")


def test_progress_outlives_the_notebook(state):
    Progress(state).record("attempt", "01.mix_experts", "shape")
    Progress(state).record("attempt", "01.mix_experts", "solved")
    Progress(state).record("hint", "01.mix_experts", "1")
    again = Progress(state)
    assert again.solved() == {"01.mix_experts"}
    assert again.attempts("01.mix_experts") == 2
    assert again.hints_shown("01.mix_experts") == 1
    assert not again.in_memory


def test_latest_answer_to_a_question_counts(state):
    kept = Progress(state)
    for subject, verdict in (("01.a", "wrong"), ("01.b", "right"), ("01.a", "right"), ("01.b", "wrong")):
        kept.record("answer", subject, verdict)
    assert kept.answered() == {"01.a"}


def test_state_folder_follows_the_environment(state, monkeypatch):
    assert state_folder() == state
    assert progress().path == state / "progress.sqlite"
    monkeypatch.delenv("MTL_TUTORIAL_STATE")
    assert state_folder().name == "mtl_tutorial"


def damaged(path: Path) -> None:
    path.write_bytes(b"this is no database, " * 100)


def truncated(path: Path) -> None:
    kept = Progress(path.parent)
    for i in range(500):
        kept.record("attempt", f"01.exercise_{i}", "solved")
    content = path.read_bytes()
    path.write_bytes(content[:len(content) // 2])


def of_a_later_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE log (id, at, kind, subject, detail, more)")
        db.execute("PRAGMA user_version = 2")


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE bookmarks (url)")


@pytest.mark.parametrize("spoil", [damaged, truncated, of_a_later_version, of_another_program])
def test_file_that_cannot_be_read_is_set_aside_with_a_notice(shell, state, spoil):
    state.mkdir()
    path = state / "progress.sqlite"
    spoil(path)
    before = path.read_bytes()
    [notice] = notices(shell, state)
    [aside] = state.glob("progress.sqlite.damaged-*")
    assert notice.startswith("Your progress starts afresh")
    assert str(aside) in notice
    assert aside.read_bytes() == before
    Progress(state).record("attempt", "01.a", "solved")
    assert Progress(state).solved() == {"01.a"}


def test_empty_file_is_a_new_one(shell, state):
    state.mkdir()
    (state / "progress.sqlite").touch()
    assert notices(shell, state) == []
    assert not shell["opened"].in_memory


def test_folder_that_cannot_be_made_keeps_progress_in_memory(shell, tmp_path):
    (tmp_path / "file").touch()
    [notice] = notices(shell, tmp_path / "file" / "below")
    assert notice.startswith("Your progress is kept in memory only")
    assert "MTL_TUTORIAL_STATE" in notice
    kept = shell["opened"]
    kept.record("attempt", "01.a", "solved")
    assert kept.in_memory
    assert kept.solved() == {"01.a"}


def test_folder_in_the_files_place_keeps_progress_in_memory(shell, state):
    (state / "progress.sqlite").mkdir(parents=True)
    [notice] = notices(shell, state)
    assert notice.startswith("Your progress is kept in memory only")


def test_file_that_becomes_unwritable_is_remembered_in_memory(shell, state, monkeypatch):
    notices(shell, state)
    kept = shell["opened"]
    kept.record("attempt", "01.a", "solved")
    connect = sqlite3.connect

    def read_only(path, **settings):
        path = path if settings.get("uri") or path == ":memory:" else f"{Path(path).as_uri()}?mode=ro"
        return connect(path, **settings | {"uri": True})
    monkeypatch.setattr(sqlite3, "connect", read_only)
    [notice] = shell.texts("opened.record('attempt', '01.b', 'solved')")
    assert "attempt to write a readonly database" in notice
    assert kept.solved() == {"01.a", "01.b"}


@pytest.mark.parametrize("spoil", [None, damaged])
def test_several_notebooks_open_and_write_at_once(state, spoil):
    state.mkdir()
    if spoil:
        spoil(state / "progress.sqlite")
    together = Barrier(4)

    def write(notebook: int) -> bool:
        together.wait()
        kept = Progress(state)
        for i in range(10):
            kept.record("attempt", f"01.exercise_{notebook}_{i}", "solved")
        return kept.in_memory

    with ThreadPoolExecutor(4) as notebooks:
        assert list(notebooks.map(write, range(4))) == [False] * 4
    assert len(Progress(state).solved()) == 40
    assert len(list(state.glob("*.damaged-*"))) == (1 if spoil else 0)


def test_writer_waits_for_another_process_that_holds_the_file(state):
    Progress(state)
    command = [sys.executable, "-c", HOLDER, str(state / "progress.sqlite")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    holder.stdout.readline()
    kept = Progress(state)
    kept.record("attempt", "01.a", "solved")
    assert holder.wait() == 0
    assert not kept.in_memory
    assert kept.solved() == {"01.a"}


HOLDER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(0.5)
db.execute("COMMIT")
"""


def test_progress_table_counts_exercises_and_questions(shell, mix, monkeypatch):
    from mtl_tutorial.classroom import progress_view
    from mtl_tutorial.classroom.questions import Option, Question
    from mtl_tutorial.lessons import Lesson
    options = (Option("a", True, "b"), Option("c", False, "d"))
    monkeypatch.setattr(Lesson, "available", property(lambda entry: entry.number in ("00", "01")))
    monkeypatch.setattr(progress_view, "exercises_of", lambda number: {mix.id: mix} if number == "01" else {})
    monkeypatch.setattr(progress_view, "questions_of",
                        lambda number: [Question(id, "?", options) for id in "ab"] if number == "01" else [])
    progress().record("attempt", "01.mix_experts", "solved")
    progress().record("attempt", "01.removed_since", "solved")
    progress().record("answer", "01.b", "right")
    [output] = shell.run("from mtl_tutorial.classroom import progress_table\nprogress_table()")
    lines = output.data["text/plain"].splitlines()
    assert lines[3].split() == ["01", "Multi-task", "learning", "1", "of", "1", "1", "of", "2"]
    assert lines[4].endswith("to come")
    assert "<td style='text-align:left'>1 of 2</td>" in output.data["text/html"]


def test_environment_check_names_what_it_found(shell, monkeypatch):
    monkeypatch.setenv("MTL_TUTORIAL_DEVICE", "cpu")
    [text] = shell.texts("from mtl_tutorial.classroom import environment_check\nenvironment_check()")
    for word in ("Python", "torch", "lessons use cpu", "threads", "$MTL_TUTORIAL_STATE/progress.sqlite", "lessons"):
        assert word in text

"""The learner's progress: one SQLite file that several notebooks may write at once.

A file that cannot be read is set aside, never deleted; where nothing can be written, progress lives in memory.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path

import platformdirs

from mtl_tutorial.classroom.panel import show_panel

SCHEMA_VERSION = 1
WAIT = 10.0     # seconds to wait for another notebook that is writing


def state_folder() -> Path:
    """Return where progress is kept: ``$MTL_TUTORIAL_STATE``, or the user's data folder."""
    asked = os.environ.get("MTL_TUTORIAL_STATE")
    return Path(asked).expanduser().absolute() if asked else platformdirs.user_data_path("mtl_tutorial", False)


def progress() -> "Progress":
    """Return the progress kept in the state folder, opened at first use."""
    return _open(state_folder())


@lru_cache
def _open(folder: Path) -> "Progress":
    return Progress(folder)


class _Damaged(Exception):
    """The file is no database, or not one of ours."""


class Progress:
    """A log of what the learner did: (when, kind, subject, detail), questioned by a few methods.

    Kinds are ``attempt`` (detail: ``solved`` or the kind of error), ``hint`` (its number) and ``answer``
    (``right`` or ``wrong``).

    Args:
        folder: holds ``progress.sqlite``; made if need be.
    """

    def __init__(self, folder: Path):
        self.path = folder.absolute() / "progress.sqlite"
        self._memory: sqlite3.Connection | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open_file()
        except (OSError, sqlite3.OperationalError) as reason:
            self._keep_in_memory(reason)

    @property
    def in_memory(self) -> bool:
        """Whether progress will be lost when this notebook's kernel stops."""
        return self._memory is not None

    def record(self, kind: str, subject: str, detail: str) -> None:
        """Add one line to the log."""
        insert = "INSERT INTO log (at, kind, subject, detail) VALUES (?, ?, ?, ?)"
        self._run(insert, time.time(), kind, subject, detail)

    def hints_shown(self, exercise: str) -> int:
        """Return how many hints of an exercise were revealed."""
        rows = self._run("SELECT COUNT(DISTINCT detail) FROM log WHERE kind = 'hint' AND subject = ?", exercise)
        return rows[0][0]

    def solved(self) -> set[str]:
        """Return the ids of the exercises that were once solved."""
        return {row[0] for row in self._run(
            "SELECT DISTINCT subject FROM log WHERE kind = 'attempt' AND detail = 'solved'")}

    def attempts(self, exercise: str) -> int:
        """Return how often an exercise was tried, solved or not."""
        return self._run("SELECT COUNT(*) FROM log WHERE kind = 'attempt' AND subject = ?", exercise)[0][0]

    def answered(self) -> set[str]:
        """Return the ids of the quiz questions whose latest answer was right."""
        return {row[0] for row in self._run(
            "SELECT subject FROM log WHERE id IN (SELECT MAX(id) FROM log WHERE kind = 'answer' GROUP BY subject) "
            "AND detail = 'right'")}

    def _run(self, sql: str, *values: object) -> list[tuple]:
        """Run one statement; where the file no longer allows it, go on in memory."""
        try:
            with self._connection() as db:
                return db.execute(sql, values).fetchall()
        except sqlite3.Error as reason:         # the disk is full, the folder is gone, ...
            if self.in_memory:
                raise
            self._keep_in_memory(reason)
            return self._run(sql, *values)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction, or lend the database in memory."""
        if self._memory is not None:
            yield self._memory
            return
        with closing(sqlite3.connect(self.path, timeout=WAIT)) as db, db:
            yield db

    def _open_file(self) -> None:
        """Open the file, or begin a new one where there is none or it had to be set aside."""
        try:
            self._make_table()
        except _Damaged:
            with _one_at_a_time(self.path.parent):
                self._replace_unless_mended()

    def _replace_unless_mended(self) -> None:
        try:
            self._make_table()                  # another notebook may have set the damaged file aside by now
        except _Damaged as damage:
            aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
            self.path.rename(aside)
            self._make_table()
            show_panel("Your progress starts afresh",
                       [f"The old file cannot be read ({damage}). It is kept as `{aside}`."])

    def _make_table(self) -> None:
        try:
            with self._connection() as db:
                db.execute("BEGIN IMMEDIATE")   # of several notebooks that start together, one makes the table
                _check_or_create(db)
        except sqlite3.OperationalError:        # it cannot be opened or written, which is no damage
            raise
        except sqlite3.DatabaseError as damage:
            raise _Damaged(damage) from None

    def _keep_in_memory(self, reason: Exception) -> None:
        """Go on without a file, from what can still be read of it."""
        self._memory = _copy_in_memory(self.path)
        show_panel("Your progress is kept in memory only",
                   [f"`{self.path}` cannot be written ({reason}). Set MTL_TUTORIAL_STATE to a folder that can."])


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold a lock that SQLite lets go of when the process ends, however it ends."""
    with closing(sqlite3.connect(folder / "progress.lock", timeout=WAIT)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield


def _copy_in_memory(path: Path) -> sqlite3.Connection:
    """Return a database in memory with what the file holds, or an empty one where it cannot be read."""
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
            file.backup(memory)
        _check_or_create(memory)
    except sqlite3.Error:
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _check_or_create(memory)
    return memory


def _check_or_create(db: sqlite3.Connection) -> None:
    """Make the table in an empty database; raise DatabaseError where what is there is not ours or damaged."""
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if not tables and version == 0:
        db.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, at REAL, kind TEXT, subject TEXT, detail TEXT)")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        return
    columns = [row[1] for row in db.execute("PRAGMA table_info(log)")]
    if version != SCHEMA_VERSION or columns != ["id", "at", "kind", "subject", "detail"]:
        raise sqlite3.DatabaseError(f"its schema is version {version}, not {SCHEMA_VERSION}")
    state = db.execute("PRAGMA quick_check").fetchone()[0]
    if state != "ok":
        raise sqlite3.DatabaseError(state)

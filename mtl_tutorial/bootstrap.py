"""Make ``.venv``, install the requirements into it and go on inside it. Standard library only."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from mtl_tutorial.lock import exclusive

ROOT = Path(__file__).resolve().parents[1]


def ensure(words: list[str], here: bool, environment: "Environment | None" = None) -> None:
    """Return only inside a Python that has the requirements; else make one and start again in it.

    Args:
        words: the command and its options, handed on to the Python of ``.venv``.
        here: take the Python that is running, whatever it is, and make no ``.venv``.
        environment: where the command runs; that of the lessons if left out.

    Raises:
        SystemExit: with one line that says what is in the way.
    """
    environment = environment or Environment(ROOT)
    if here:
        requirements = environment.root / "requirements.txt"
        absent = missing(requirements)
        if absent:
            _fail(f"{sys.executable} lacks {', '.join(absent)}; install {requirements}, or leave out --here")
        return
    if not environment.is_complete():
        try:
            environment.make()
        except OSError as error:
            _fail(f"cannot make {environment.folder}: {error}")
    if Path(sys.prefix).resolve() != environment.folder.resolve():
        _go_on(environment.python, words)


@dataclass(frozen=True)
class Environment:
    """The virtual environment of the folder ``root``, complete once its stamp says so.

    The stamp is written last. It names what was installed, for which Python and where, so that an interrupted
    installation, a changed requirement, another Python and a moved checkout are all seen.
    """

    root: Path
    files: tuple[str, ...] = ("requirements.txt", "constraints.txt", "pyproject.toml")     # say what is installed

    @property
    def folder(self) -> Path:
        """Where the environment is."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def stamp(self) -> Path:
        """The file that says the environment is complete."""
        return self.folder / ".stamp"

    def wanted(self) -> dict[str, str]:
        """Return what the stamp has to say for this checkout and the running Python."""
        digest = hashlib.sha256()
        for name in self.files:
            digest.update((self.root / name).read_bytes() + b"\0")
        return {
            "requirements": digest.hexdigest(),
            "python": str(sys.implementation.cache_tag),
            "path": str(self.root.resolve()),
        }

    def found(self) -> dict[str, str]:
        """Return what the stamp says; nothing where there is none or it is damaged."""
        try:
            stamp = json.loads(self.stamp.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def is_complete(self) -> bool:
        """Whether everything is installed as this checkout wants it."""
        return self.python.exists() and self.found() == self.wanted()

    def make(self) -> None:
        """Install what is wanted; from nothing, unless only the requirements changed."""
        (self.root / "build").mkdir(exist_ok=True)
        with exclusive(self.root / "build" / "install.lock", "another installation is running, waiting for it"):
            if self.is_complete():      # made by the other process
                return
            found, wanted = self.found(), self.wanted()
            self.stamp.unlink(missing_ok=True)
            if not self.python.exists() or any(found.get(key) != wanted[key] for key in ("python", "path")):
                self._create()
            self._install()
            part = self.stamp.with_suffix(".part")
            part.write_text(json.dumps(wanted), "utf-8")
            part.replace(self.stamp)

    def _create(self) -> None:
        if find_spec("venv") is None or find_spec("ensurepip") is None:
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            _fail(
                f"Python {version} ({sys.executable}) cannot make virtual environments; on Debian and Ubuntu: "
                f"'sudo apt install python{version}-venv', or use this Python as it is with --here"
            )
        _say(f"making {self.folder}")
        base = getattr(sys, "_base_executable", sys.executable)     # not .venv's own Python, which goes away here
        done = subprocess.run([base, "-m", "venv", "--clear", str(self.folder)], capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            _fail(f"python -m venv failed: {' '.join(last)}")

    def _install(self) -> None:
        log = self.root / "build" / "install.log"
        _say("installing requirements.txt with pip: about two minutes the first time")
        command = [str(self.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        pip = subprocess.Popen(
            [*command, "-r", "requirements.txt"],
            cwd=self.root,
            env={**os.environ, "PIP_USER": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        last, errors = deque(maxlen=5), deque(maxlen=5)
        with pip, log.open("w", encoding="utf-8") as out:
            for line in pip.stdout:
                out.write(line)
                last.append(line.rstrip())
                if line.lstrip().lower().startswith("error"):
                    errors.append(line.rstrip())
                _progress(line)
        _progress("")
        if pip.returncode:
            print(*(errors or last), sep="\n", file=sys.stderr)
            _fail(f"pip could not install requirements.txt; everything it said is in {log}")


def missing(requirements: Path) -> list[str]:
    """Names in a requirements file that the running Python has no distribution of, whatever the version."""
    absent = []
    for line in requirements.read_text("utf-8").splitlines():
        if name := re.match(r"[A-Za-z0-9][\w.-]*", line):
            try:
                metadata.distribution(name.group())
            except metadata.PackageNotFoundError:
                absent.append(name.group())
    return absent


def _go_on(python: Path, words: list[str]) -> NoReturn:
    # --here: whatever that Python is, it is the one to use, so this can never go round in circles.
    command = [str(python), "-m", "mtl_tutorial", words[0], "--here", *words[1:]]
    os.environ.setdefault("PYTHONUTF8", "1")
    os.chdir(ROOT)          # where the package is found, installed or not
    if os.name == "nt":     # there, exec returns to the prompt at once
        sys.exit(subprocess.run(command).returncode)
    os.execv(command[0], command)


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line.strip()[:78]}", end="", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(f"mtl_tutorial: {text}", flush=True)


def _fail(text: str) -> NoReturn:
    raise SystemExit(f"mtl_tutorial: {text}")

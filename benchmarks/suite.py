"""What the suite itself costs: importing the package, each notebook, and `make test`. It has no quick form."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.comparison import Form, Report, main
from benchmarks.report import milliseconds, table
from benchmarks.rounds import Timing
from benchmarks.targets import Finding
from mtl_tutorial.bootstrap import ROOT, Environment
from mtl_tutorial.progress_bar import bar

TRAINING = "from mtl_tutorial.models.mmoe import MMoE; from mtl_tutorial.training import fit"
IMPORTS = {
    "the package": "import mtl_tutorial",
    "a model and `fit`": TRAINING,
    "metrics, with scikit-learn": "import mtl_tutorial.evaluation",
    "the first cell of a lesson, with ipywidgets and matplotlib": "import mtl_tutorial.classroom",
}
HELD = "a model and `fit`"          # what is held against the target: the package alone loads nothing


def lessons_python() -> Path:
    """Return the Python of the lessons' environment, made first where it is missing or stale."""
    environment = Environment(ROOT)
    if not environment.is_complete():
        environment.make()
    return environment.python


def import_seconds(python: Path, rounds: int, imports: Mapping[str, str] = IMPORTS) -> dict[str, Timing]:
    """Return name -> seconds that a fresh process takes for it once it has torch."""
    samples: dict[str, list[float]] = {name: [] for name in imports}
    with bar(1 + rounds, "importing") as progress:
        for number in range(1 + rounds):                # the first fills the caches and does not count
            for name, statement in imports.items():
                code = f"import torch, time; start = time.perf_counter(); {statement}; " \
                       "print(time.perf_counter() - start)"
                done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
                if number:
                    samples[name].append(float(done.stdout))
            progress.update()
    return {name: Timing(tuple(taken)) for name, taken in samples.items()}


def command(python: Path, name: str) -> tuple[bool, float]:
    """Run a command as `make` does after the first install; return whether it passed, and its minutes."""
    start = time.perf_counter()
    done = subprocess.run([python, "-m", "mtl_tutorial", name, "--here"], cwd=ROOT)
    return done.returncode == 0, (time.perf_counter() - start) / 60


def compare(form: Form) -> Report:
    """Time the imports in fresh processes, then run all notebooks and all tests once."""
    if form.quick:
        return Report("Left out: the notebooks and the tests have no quick form.")
    python = lessons_python()
    imports = import_seconds(python, form.rounds)
    command(python, "run")
    notebooks = json.loads((ROOT / "build" / "run" / "table.json").read_text("utf-8"))
    passed, minutes = command(python, "test")
    slowest = max(notebooks, key=lambda notebook: notebook["seconds"])
    body = f"""
Imports in fresh processes that have torch already, median of {form.rounds} with quartiles; each notebook by
`make run`, its cells with one thread; `make test` with two workers, after the first install.

{table(["import", "ms beyond torch"], [[name, milliseconds(timing)] for name, timing in imports.items()])}

{table(["notebook", "seconds", "peak MiB", "claims held"],
       [[found["notebook"], f"{found['seconds']:.1f}", f"{found['peak_mib']:.0f}",
         f"{found['held']}/{len(found['claims'])}"] for found in notebooks])}"""
    return Report(body, [
        Finding("import beyond torch, seconds", imports[HELD].median, f"{imports[HELD].median:.3f}"),
        Finding("slowest lesson, seconds", slowest["seconds"], f"{slowest['seconds']:.1f}, {slowest['notebook']}"),
        Finding("make test, minutes", minutes if passed else None, why="" if passed else "a test failed")])


if __name__ == "__main__":
    main("Suite", __doc__, compare, rounds=9)

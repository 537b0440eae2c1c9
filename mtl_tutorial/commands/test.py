"""``test``: lint, every notebook, every test; all three even if one fails."""

import argparse
import os
import subprocess
import sys
import time

from mtl_tutorial.bootstrap import ROOT
from mtl_tutorial.commands.isolation import isolated


def main(options: argparse.Namespace) -> int:
    """Run the stages, print a summary, and return 1 if any of them failed."""
    report = []
    with isolated():
        inherited = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests" / "offline"), *inherited])
        for name, command in stages(options.quick, options.extra).items():
            print(f"\n── {name}", flush=True)
            start = time.perf_counter()
            passed = subprocess.run(command, cwd=ROOT).returncode == 0
            report.append((name, passed, time.perf_counter() - start))
    print("\n── summary")
    for name, passed, seconds in report:
        print(f"{'passed' if passed else 'FAILED'}  {name}  {seconds:.0f} s")
    return 0 if all(passed for _, passed, _ in report) else 1


def stages(quick: bool, extra: list[str]) -> dict[str, list[str]]:
    """Return the command of each stage by its name; no stage for notebooks where there are none."""
    python = [sys.executable, "-m"]
    workers = ["-n", str(min(2, os.cpu_count() or 1))]
    found = sorted((ROOT / "notebooks").glob("01_*.ipynb" if quick else "*.ipynb"))
    result = {"lint": [*python, "ruff", "check", "."]}
    if found:
        nbval = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "120"]
        paths = [str(path.relative_to(ROOT)) for path in found]
        result["notebooks"] = [*python, "pytest", *paths, *nbval, *workers, "--dist", "loadfile"]
    tests = "tests/unit" if quick else "tests"
    result["tests"] = [*python, "pytest", tests, *workers, "--dist", "load", *extra]
    return result

"""``bench``: run comparisons of benchmarks/ in an environment of their own. Standard library only."""

import argparse
import subprocess
import sys

from mtl_tutorial.bootstrap import ROOT, Environment

FOLDER = ROOT / "benchmarks"
ENVIRONMENT = Environment(FOLDER, ("requirements.txt", "../constraints.txt"))


def comparisons() -> list[str]:
    """Return the names of all comparisons: the modules of benchmarks/ that can be run."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8"))


def comparison(name: str) -> str:
    """Return the name of a comparison.

    Raises:
        SystemExit: an unknown name; the line lists those there are.
    """
    if name not in comparisons():
        raise SystemExit(f"mtl_tutorial: there is no comparison {name}; there are: {', '.join(comparisons())}")
    return name


def main(options: argparse.Namespace) -> int:
    """Run the named comparisons, or all of them, and return 1 if any failed.

    In the quick form a comparison fails where a ratio is under 80 % of its target.
    """
    failed, form = [], ["--quick"] if options.quick else []
    for name in options.names or comparisons():
        print(f"mtl_tutorial: comparing {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *form], cwd=ROOT).returncode:
            failed.append(name)
    if failed:
        print(f"mtl_tutorial: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0

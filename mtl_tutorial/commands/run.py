"""``run``: papermill runs the notebooks; what they took and which claims held goes into a table."""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from mtl_tutorial.bootstrap import ROOT
from mtl_tutorial.classroom.ledger import claims_of
from mtl_tutorial.commands.isolation import isolated
from mtl_tutorial.commands.memory import PeakMemory
from mtl_tutorial.commands.parameters import read_full, unknown
from mtl_tutorial.commands.selection import chosen


@dataclass(frozen=True)
class Result:
    """What one notebook took and what came of it."""

    notebook: str
    parameters: dict[str, Any]
    seconds: float              # sum over the cells
    peak_mib: float             # of the kernel and its children
    claims: list[dict]
    error: str | None

    @property
    def held(self) -> int:
        """Number of claims that held."""
        return sum(claim["held"] for claim in self.claims)

    @property
    def passed(self) -> bool:
        """Whether the notebook ran to its end and every claim held."""
        return self.error is None and self.held == len(self.claims)


def main(options: argparse.Namespace) -> int:
    """Run the chosen notebooks, each even if another fails; return 1 if any failed."""
    folder, out = ROOT / "notebooks", ROOT / "build" / "run"
    notebooks = chosen(folder, options.numbers)
    plan = planned(notebooks, options.scale, options.seed)
    out.mkdir(parents=True, exist_ok=True)
    results = []
    with isolated():
        for notebook in notebooks:
            results.append(execute(notebook, plan[notebook], out))
            write_tables(results, out)
    print("", *report(results), f"\nwritten to {out}", sep="\n")
    return 0 if all(result.passed for result in results) else 1


def planned(notebooks: list[Path], scale: str, seed: int | None) -> dict[Path, dict[str, Any]]:
    """Return each notebook's parameters.

    Raises:
        SystemExit: a parameter that its notebook does not have, or a full.yaml that cannot be read.
    """
    try:
        full = read_full(notebooks[0].parent / "full.yaml") if scale == "full" and notebooks else {}
    except (OSError, ValueError) as error:
        raise SystemExit(f"mtl_tutorial: {error}") from None
    plan = {}
    for notebook in notebooks:
        parameters = dict(full.get(notebook.name[:2], {}))
        if seed is not None:
            parameters["SEED"] = seed
        if names := unknown(notebook, parameters):
            raise SystemExit(f"mtl_tutorial: {notebook.name} has no parameter {', '.join(names)}")
        plan[notebook] = parameters
    return plan


def execute(notebook: Path, parameters: dict[str, Any], out: Path) -> Result:
    """Run one notebook in its own folder; the executed copy goes to the folder ``out``."""
    copy, error = out / notebook.name, None
    copy.unlink(missing_ok=True)
    with PeakMemory() as memory:
        try:
            papermill.execute_notebook(
                notebook,
                copy,
                parameters,
                kernel_name="python3",
                cwd=notebook.parent,
                progress_bar={"desc": notebook.stem},
            )
        except PapermillExecutionError as failure:
            error = f"{failure.ename}: {failure.evalue}"
        except Exception as failure:        # the kernel died, say: the other notebooks still run
            error = f"{type(failure).__name__}: {failure}"
    cells = nbformat.read(copy, as_version=4)["cells"] if copy.exists() else []
    seconds = sum(cell["metadata"].get("papermill", {}).get("duration") or 0.0 for cell in cells)
    return Result(
        notebook.stem, parameters, round(seconds, 2), round(memory.mib, 1), claims_of({"cells": cells}), error
    )


def report(results: Iterable[Result]) -> list[str]:
    """Return the lines of a Markdown table, and below it a line for each thing that went wrong."""
    lines = ["| notebook | seconds | peak MiB | claims held |", "|---|---:|---:|---:|"]
    wrong = []
    for result in results:
        figures = f"{result.seconds:.1f} | {result.peak_mib:.0f} | {result.held}/{len(result.claims)}"
        lines.append(f"| {result.notebook} | {figures}{'' if result.error is None else ', failed'} |")
        wrong += [
            f"✗ {claim['claim']}: measured {claim['value']}, expected {claim['expected']}"
            for claim in result.claims
            if not claim["held"]
        ]
        if result.error is not None:
            wrong.append(f"{result.notebook} failed: {result.error}")
    return lines + (["", *wrong] if wrong else [])


def write_tables(results: list[Result], out: Path) -> None:
    """Write ``table.md`` and ``table.json``."""
    (out / "table.md").write_text("\n".join(report(results)) + "\n", "utf-8")
    rows = [{**asdict(result), "held": result.held} for result in results]
    (out / "table.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False), "utf-8")

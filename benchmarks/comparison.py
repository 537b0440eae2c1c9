"""How every comparison runs: in full, to write its section of the results, or in its quick form, as a check."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from benchmarks.report import RESULTS, table, write_figure, write_section
from benchmarks.targets import HEADER, Finding, falling_short

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Report(NamedTuple):
    """What a comparison has to say."""

    body: str                                           # Markdown: the set-up and tables
    findings: Sequence[Finding] = ()                    # what is held against a target
    figures: Mapping[str, Callable[[], Figure]] = {}    # file name without its ending -> draws it; full form alone


class Form(NamedTuple):
    """Which form of a comparison is wanted."""

    rounds: int         # timed rounds
    quick: bool         # smaller runs


def main(title: str, purpose: str, compare: Callable[[Form], Report], rounds: int, quick_rounds: int = 3,
         words: Sequence[str] | None = None) -> None:
    """Run a comparison with one thread as the command line asks, and print what it found.

    In full, its section and figures are written to the results. The quick form writes nothing.

    Args:
        title: of the section.
        purpose: one line, for ``--help``.
        compare: what measures.
        rounds: timed rounds in full.
        quick_rounds: timed rounds in the quick form.
        words: of the command line; the process's own if left out.

    Raises:
        SystemExit: in the quick form, a finding below 80 % of its target; the lines name them.
    """
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--rounds", type=int, help=f"timed rounds, default {rounds} ({quick_rounds} with --quick)")
    parser.add_argument("--quick", action="store_true",
                        help="smaller runs, nothing is written; fails below 80 %% of a target")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    form = Form(options.rounds or (quick_rounds if options.quick else rounds), options.quick)
    report = compare(form)
    body = report.body.strip()
    if report.findings:
        body += "\n\n" + table(HEADER, [finding.row for finding in report.findings])
    print(body, flush=True)
    if form.quick:
        if short := falling_short(report.findings):
            raise SystemExit("\n".join(short))
        return
    for name, draw in report.figures.items():
        body += f"\n\n![{write_figure(draw(), RESULTS.with_name(f'{name}.png'))}]({name}.png)"
    write_section(title, body)

"""Rows per second in training, against the libraries people would use, and whether the models learn as well."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean
from typing import TYPE_CHECKING

import torch

from benchmarks.click_log import click_log
from benchmarks.comparison import Form, Report, main
from benchmarks.peers import (
    ARCHITECTURES,
    BATCH,
    DIM,
    EXPERTS,
    LEVELS,
    OWN,
    PEERS,
    SHARED,
    TOWER,
    WIDTHS,
    Candidate,
    candidates,
)
from benchmarks.report import ratio, table
from benchmarks.rounds import Timing, interleaved
from benchmarks.targets import TARGETS, Finding
from mtl_tutorial.data.table import Table
from mtl_tutorial.evaluation import auc

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEARNING = ("MMoE", "PLE")              # whose AUC in bfloat16 is held against a target
NO_BF16 = "this processor has no bfloat16 instructions"
Times = Mapping[tuple[int, str, str], Timing]           # threads, architecture, candidate -> seconds per row


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 by instructions of its own."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def precisions() -> tuple[str, ...]:
    """Return what ours is to be measured in."""
    return ("fp32", "bf16") if has_bf16() else ("fp32",)


def measure(threads: int, rows: int, rounds: int) -> Times:
    """Time an epoch of every candidate with so many threads."""
    log = click_log(rows)
    built = {(threads, architecture, name): candidate.epoch for architecture in ARCHITECTURES
             for name, candidate in candidates(architecture, log, precisions()).items()}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = interleaved(built, rounds, warm_up=1)
    finally:
        torch.set_num_threads(before)
    return {key: timing.per(rows) for key, timing in found.items()}


def best_peer(times: Times, threads: int, architecture: str) -> Timing:
    """Return the time of the peer that is the fastest."""
    return min((times[threads, architecture, peer] for peer in PEERS), key=lambda timing: timing.median)


def mean_auc(candidate: Candidate, unseen: Table, epochs: int) -> float:
    """Train a candidate and return its AUC on unseen rows, the mean over tasks."""
    for _ in range(epochs):
        candidate.epoch()
    found = candidate.probabilities(unseen)
    return mean(auc(labels, found[:, task]) for task, labels in enumerate(unseen.targets.values()))


def aucs(architecture: str, seen: Table, unseen: Table, epochs: int, seeds: int, peers: bool) -> dict[str, float]:
    """Train all candidates from several starts and return name -> mean AUC on unseen rows."""
    runs: dict[str, list[float]] = {}
    for seed in range(seeds):
        for name, candidate in candidates(architecture, seen, precisions(), seed, peers).items():
            runs.setdefault(name, []).append(mean_auc(candidate, unseen, epochs))
    return {name: mean(values) for name, values in runs.items()}


def findings(times: Times, loss_of_auc: Mapping[str, float]) -> list[Finding]:
    """Return what is held against a target, all with one thread."""
    found = []
    for what in TARGETS:
        architecture, _, rest = what.partition(", ")
        precision, _, held = rest.partition(": ")
        if held == "rows/s over the best peer's":
            mine = times.get((1, architecture, f"ours, {precision}"))
            times_as_fast = best_peer(times, 1, architecture).over(mine) if mine else None
            found.append(Finding(what, times_as_fast.median, ratio(times_as_fast)) if times_as_fast
                         else Finding(what, None, why=NO_BF16))
        elif held == "AUC below that of fp32":
            loss = loss_of_auc.get(architecture)
            found.append(Finding(what, loss, why=NO_BF16) if loss is None else Finding(what, loss, f"{loss:+.4f}"))
    return found


def draw(times: Times) -> Figure:
    """Draw rows per second with one thread: a group of bars for each architecture."""
    from matplotlib import pyplot as plt  # in the full form alone

    from mtl_tutorial.plots import use_style

    use_style()
    names = list(dict.fromkeys(name for _, _, name in times))
    figure, axes = plt.subplots(1, len(ARCHITECTURES), figsize=(10, 3.4))
    for ax, architecture in zip(axes, ARCHITECTURES, strict=True):
        rates = [1e-3 / times[1, architecture, name].median for name in names]
        bars = ax.barh(names[::-1], rates[::-1], color=["C0" if name in PEERS else "C1" for name in names[::-1]])
        ax.bar_label(bars, fmt="%.0f", padding=3)
        ax.set(title=architecture, xlabel="thousand rows/s", xlim=(0, 1.15 * max(rates)))
        if ax is not axes[0]:
            ax.set_yticklabels([])
    figure.suptitle("Training on one thread: thousand rows per second")
    return figure


def compare(form: Form) -> Report:
    """Time all candidates with one thread and, in full, with two; then let them learn."""
    rows = (5 if form.quick else 20) * BATCH
    times = {key: timing for threads in ((1,) if form.quick else (1, 2))
             for key, timing in measure(threads, rows, form.rounds).items()}
    result = table(["model", "library", "threads", "rows/s", "µs per row [quartiles]", "best peer's time over it"],
                   [[architecture, name, str(threads), f"{1 / timing.median:,.0f}",
                     "{:.1f} [{:.1f}, {:.1f}]".format(*(1e6 * part for part in (timing.median, *timing.quartiles))),
                     ratio(best_peer(times, threads, architecture).over(timing))]
                    for (threads, architecture, name), timing in times.items()])

    seeds, epochs = (1, 2) if form.quick else (5, 3)
    seen, unseen = click_log((20 if form.quick else 60) * 2 * BATCH).split(0.5, 0.5)
    scores = {architecture: aucs(architecture, seen, unseen, epochs, seeds, peers=not form.quick)
              for architecture in (LEARNING if form.quick else ARCHITECTURES)}
    learned = table(["model", *next(iter(scores.values()))],
                    [[architecture, *(f"{value:.4f}" for value in line.values())]
                     for architecture, line in scores.items()])
    losses = {architecture: line["ours, fp32"] - line["ours, bf16"] for architecture, line in scores.items()
              if "ours, bf16" in line}
    return Report(f"""
An epoch by each library's own fit path over {rows:,} rows: 16 fields of 10,000 ids, dimension {DIM}, batch {BATCH},
2 tasks; bodies and experts {list(WIDTHS)}, towers {list(TOWER)}; MMoE with {EXPERTS} experts, PLE with {LEVELS}
levels of {OWN} experts per task and {SHARED} shared. The peers compute in float32. Median of {form.rounds}
interleaved rounds with quartiles; ratios are taken round by round.

{result}

AUC on {len(unseen):,} unseen rows after {epochs} epochs over {len(seen):,} rows, mean over tasks and {seeds}
starts:

{learned}""", findings(times, losses), {"throughput": lambda: draw(times)})


if __name__ == "__main__":
    main("Throughput", __doc__, compare, rounds=10)

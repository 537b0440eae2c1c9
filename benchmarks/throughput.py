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
    OWN_START,
    PEERS,
    SHARED,
    STD,
    TOWER,
    WIDTHS,
    Candidate,
    Maker,
    in_precisions,
    make_all,
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
             for name, candidate in make_all(in_precisions(precisions()) | PEERS, architecture, log).items()}
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


def aucs(makers: Mapping[str, Maker], architecture: str, seen: Table, unseen: Table, epochs: int,
         seeds: int) -> dict[str, float]:
    """Train candidates from several starts and return name -> mean AUC on unseen rows."""
    runs: dict[str, list[float]] = {}
    for seed in range(seeds):
        for name, candidate in make_all(makers, architecture, seen, seed).items():
            runs.setdefault(name, []).append(mean_auc(candidate, unseen, epochs))
    return {name: mean(values) for name, values in runs.items()}


def findings(times: Times, scores: Mapping[str, Mapping[str, float]]) -> list[Finding]:
    """Return what is held against a target, all with one thread; of ``scores``, the AUC, what they hold.

    Args:
        times: of all candidates.
        scores: architecture -> candidate -> AUC.
    """
    found = []
    for what in TARGETS:
        architecture, _, rest = what.partition(", ")
        precision, _, held = rest.partition(": ")
        name, reached = f"ours, {precision}", scores.get(architecture, {})
        if held == "rows/s over the best peer's" and (1, architecture, name) in times:
            faster = best_peer(times, 1, architecture).over(times[1, architecture, name])
            found.append(Finding(what, faster.median, ratio(faster)))
        elif held == "AUC below that of fp32" and name in reached:
            below = reached["ours, fp32"] - reached[name]
            found.append(Finding(what, below, f"{below:+.4f}"))
        elif held == "AUC below the best peer's" and set(PEERS) <= set(reached):
            below = max(reached[peer] for peer in PEERS) - reached[name]
            found.append(Finding(what, below, f"{below:+.4f}"))
        elif precision == "bf16":
            found.append(Finding(what, None, why=NO_BF16))
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
    ranges = []
    for name in (name for name in names if name not in PEERS):
        faster = [best_peer(times, 1, architecture).over(times[1, architecture, name]).median
                  for architecture in ARCHITECTURES]
        ranges.append(f"{min(faster):.1f} to {max(faster):.1f} in {name.partition(', ')[2]}")
    figure.suptitle(f"Rows per second over the faster peer's, on one thread: {', '.join(ranges)}")
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

    seeds, epochs = (1, 2) if form.quick else (5, 1)       # the larger log is learned by heart from the second on
    makers = in_precisions(precisions()) | ({} if form.quick else PEERS | OWN_START)
    seen, unseen = click_log((20 if form.quick else 60) * 2 * BATCH).split(0.5, 0.5)
    scores = {architecture: aucs(makers, architecture, seen, unseen, epochs, seeds)
              for architecture in (LEARNING if form.quick else ARCHITECTURES)}
    learned = table(["model", *next(iter(scores.values()))],
                    [[architecture, *(f"{value:.4f}" for value in line.values())]
                     for architecture, line in scores.items()])
    best = mean(auc(labels, unseen.truth[task]) for task, labels in unseen.targets.items())
    return Report(f"""
An epoch by each library's own fit path over {rows:,} rows: 16 fields of 10,000 ids, dimension {DIM}, batch {BATCH},
2 tasks; bodies and experts {list(WIDTHS)}, towers {list(TOWER)}; MMoE with {EXPERTS} experts, PLE with {LEVELS}
levels of {OWN} experts per task and {SHARED} shared. The peers compute in float32. A library's own ways stay:
torch-rechub normalises every hidden layer over the batch and averages the losses over the tasks, DeepCTR-Torch
starts its dense layers at a deviation of 1e-4. Median of {form.rounds} interleaved rounds with quartiles; ratios
are taken round by round.

{result}

AUC on {len(unseen):,} unseen rows after {epochs} epoch(s) over {len(seen):,} rows, mean over tasks and {seeds}
start(s); who knows the true probabilities has {best:.3f}. Embeddings start at a standard deviation of {STD:g}, as
both peers have it; *its own start* is 0.1, the package's.

{learned}""", findings(times, scores), {"throughput": lambda: draw(times)})


if __name__ == "__main__":
    main("Throughput", __doc__, compare, rounds=10)

"""What a row costs in training as the rows, the ids, the tasks and the experts become more."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from benchmarks.click_log import click_log, tasks_of
from benchmarks.comparison import Form, Report, main
from benchmarks.report import ratio, table
from benchmarks.rounds import Timing, interleaved
from benchmarks.targets import Finding
from mtl_tutorial.lazy_adam import sparse_updates
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.training import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIELDS, DIM, WIDTHS, TOWER, BATCH = 16, 16, (256, 128), (64,), 2048


class Size(NamedTuple):
    """How large an experiment is."""

    rows: int
    ids: int = 160_000              # of all fields together
    tasks: int = 2
    experts: int = 8
    sparse: bool = False            # whether a step touches the rows of its batch alone


GROWTH = {
    "rows": [Size(rows) for rows in (10_000, 100_000, 1_000_000)],
    "ids": [Size(200 * BATCH, ids=ids, sparse=True) for ids in (10**4, 10**5, 10**6, 10**7)],
    "ids, whole table": [Size(20 * BATCH, ids=ids) for ids in (10**4, 10**5, 10**6, 10**7)],
    "tasks": [Size(20 * BATCH, tasks=tasks) for tasks in (2, 4, 8, 16)],
    "experts": [Size(20 * BATCH, experts=experts) for experts in (4, 8, 16, 32, 64)],
}
QUICK = {
    "rows": [Size(rows) for rows in (8_000, 32_000)],
    "ids": [Size(6 * BATCH, ids=ids, sparse=True) for ids in (10**4, 10**6)],
    "ids, whole table": [Size(3 * BATCH, ids=10**4)],
    "tasks": [Size(3 * BATCH, tasks=tasks) for tasks in (2, 16)],
    "experts": [Size(3 * BATCH, experts=experts) for experts in (4, 16)],
}
Curves = Mapping[str, Mapping[int, Timing]]       # what grows -> how many there are -> seconds per row


def epoch(size: Size) -> Callable[[], object]:
    """Return an epoch of ``fit``, all that a user waits for but the making of the model."""
    log = click_log(size.rows, FIELDS, size.ids // FIELDS, size.tasks)
    tasks = tasks_of(log)
    torch.manual_seed(0)
    model = sparse_updates(MMoE(log.schema, tasks, DIM, size.experts, WIDTHS, TOWER), size.sparse)

    def train() -> None:
        fit(model, log, tasks, epochs=1, batch_size=BATCH)
        model.zero_grad(set_to_none=True)       # of 10^7 ids it is 640 MB, which the next model needs

    return train


def measure(growth: Mapping[str, Sequence[Size]], rounds: int) -> Curves:
    """Time all sizes side by side."""
    sizes = dict.fromkeys(size for line in growth.values() for size in line)
    found = interleaved({size: epoch(size) for size in sizes}, rounds, warm_up=0)
    return {what: {getattr(size, what.partition(",")[0]): found[size].per(size.rows) for size in line}
            for what, line in growth.items()}


def ends(curve: Mapping[int, Timing]) -> Timing:
    """Return the time per row at the largest size over that at the smallest."""
    return curve[max(curve)].over(curve[min(curve)])


def slope(curve: Mapping[int, Timing]) -> float:
    """Return the slope of the time per row in logarithms: 0 is flat, 1 proportional."""
    return math.log(ends(curve).median) / math.log(max(curve) / min(curve))


def most_ids(curves: Curves) -> Timing:
    """Return the time per row at the most ids over that at the fewest, with the faster form of the update there."""
    ids, whole = curves["ids"], curves["ids, whole table"]
    return ids[max(ids)].over(min(ids[min(ids)], whole[min(ids)], key=lambda timing: timing.median))


def findings(curves: Curves) -> list[Finding]:
    """Return what is held against a target."""
    rows, more = ends(curves["rows"]), most_ids(curves)
    found = [Finding("time per row, most rows over fewest", rows.median, ratio(rows)),
             Finding("time per row, most ids over fewest", more.median, ratio(more))]
    return found + [Finding(f"time per row, slope in {what}", slope(curves[what])) for what in ("tasks", "experts")]


def draw(curves: Curves) -> Figure:
    """Draw the time per row against what grows, all on logarithmic axes."""
    from matplotlib import pyplot as plt  # in the full form alone
    from matplotlib.ticker import LogFormatter

    from mtl_tutorial.plots import use_style

    use_style()
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.6), sharey=True)
    for ax, what in zip(axes, ("rows", "ids", "tasks", "experts"), strict=True):
        lines = [name for name in curves if name.partition(",")[0] == what]
        for name in lines:
            label = "update of the batch's rows" if name == "ids" else "update of the whole table"
            ax.plot(list(curves[name]), [1e6 * timing.median for timing in curves[name].values()], label=label)
        if len(lines) > 1:
            ax.legend(fontsize=9)
        ax.set(xscale="log", yscale="log", xlabel=what, title=f"slope {slope(curves[what]):z.2f}")
        ax.set_xticks(list(curves[what]), [f"{count:,}" if count < 1000 else f"$10^{{{round(math.log10(count))}}}$"
                                           for count in curves[what]])
        ax.xaxis.minorticks_off()
    for axis in (axes[0].yaxis.set_major_formatter, axes[0].yaxis.set_minor_formatter):
        axis(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
    axes[0].set_ylabel("µs per row")
    figure.suptitle(f"A row costs {ends(curves['rows']).median:.2f} × as much among {max(curves['rows']):,} rows, "
                    f"{most_ids(curves).median:.2f} × as much with {max(curves['ids']):,} ids")
    return figure


def compare(form: Form) -> Report:
    """Time all sizes."""
    curves = measure(QUICK if form.quick else GROWTH, form.rounds)
    rows = [[what, f"{count:,}", f"{1e6 * timing.median:.1f}", ratio(timing.over(curve[min(curve)])),
             f"{slope(curve):z.2f}" if count == max(curve) and len(curve) > 1 else ""]
            for what, curve in curves.items() for count, timing in curve.items()]
    result = table(["what grows", "to", "µs per row", "over the fewest", "slope"], rows)
    return Report(f"""
Epochs of `fit` with all that belongs to them: MMoE, experts {list(WIDTHS)}, towers {list(TOWER)}, {FIELDS} fields,
dimension {DIM}, batch {BATCH}, float32; where nothing else is said 8 experts, 2 tasks and 160,000 ids in all fields
together. *ids*: `sparse_updates`, a step touches the rows of its batch alone; *ids, whole table*: Adam as usual.
Median of {form.rounds} interleaved rounds with quartiles; ratios are taken round by round. Slope: of the time per
row between the ends, in logarithms; 0 is flat, 1 proportional.

{result}""", findings(curves), {"growth": lambda: draw(curves)})


if __name__ == "__main__":
    main("Growth", __doc__, compare, rounds=3)

"""How near training comes to the rate at which this machine multiplies matrices, and where the rest goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.click_log import click_log, tasks_of
from benchmarks.comparison import Form, Report, main
from benchmarks.peers import BATCH, DIM, EXPERTS, TOWER, WIDTHS
from benchmarks.report import milliseconds, ratio, table
from benchmarks.rounds import Timing, interleaved
from benchmarks.targets import Finding
from benchmarks.throughput import precisions
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.profiling import GROUPS, REST, shares_of_time
from mtl_tutorial.training import fit

FIELDS, TASKS, STEPS = 16, 2, 20
INPUTS = FIELDS * DIM
LAYERS = ((INPUTS, WIDTHS[0]), WIDTHS)           # I and O of an expert's two layers
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def flops_per_row() -> int:
    """Count the floating-point operations of a row's training step: 2 per weight forward, 4 backward.

    The first layer's backward has both its halves, since the embeddings learn too.
    """
    experts = EXPERTS * (INPUTS * WIDTHS[0] + WIDTHS[0] * WIDTHS[1])
    gates = TASKS * (INPUTS * EXPERTS + EXPERTS * WIDTHS[1])        # their logits, and the mixtures
    towers = TASKS * (WIDTHS[1] * TOWER[0] + TOWER[0])
    return 6 * (experts + gates + towers)


def flops_of_products() -> int:
    """Count those of a batch's large products alone, the experts'."""
    return 6 * BATCH * EXPERTS * sum(inputs * outputs for inputs, outputs in LAYERS)


def by_matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply as everyone does."""
    return a @ b


def by_onednn(a: Tensor, b: Tensor) -> Tensor:
    """Multiply by the operator that torch's compiler uses."""
    return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")


def products(multiply: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> Callable[[], None]:
    """Return the large products of a step, forward and both of backward, expert by expert, and nothing else.

    Every factor lies in memory as it is wanted: what a step turns around first has been turned around before.
    """
    x = torch.randn(BATCH, INPUTS, dtype=dtype)                     # all experts read it
    factors = []
    for _ in range(EXPERTS):
        for rows, (inputs, outputs) in zip((x, torch.randn(BATCH, WIDTHS[0], dtype=dtype)), LAYERS, strict=True):
            weight = torch.randn(inputs, outputs, dtype=dtype)
            gradient = torch.randn(BATCH, outputs, dtype=dtype)
            factors += [(rows, weight), (gradient, weight.T.contiguous()), (rows.T.contiguous(), gradient)]

    def run() -> None:
        for pair in factors:
            multiply(*pair)
    return run


def ways() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Return what torch multiplies matrices by here."""
    found = {"torch.matmul": by_matmul}
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        found["oneDNN"] = by_onednn
    return found


def training(precision: str, by_member: bool = True) -> Callable[[], object]:
    """Return an epoch of STEPS steps; the experts as the package has them, by member or not, or side by side."""
    log = click_log(STEPS * BATCH, FIELDS)
    tasks = tasks_of(log)
    torch.manual_seed(0)
    model = MMoE(log.schema, tasks, DIM, EXPERTS, WIDTHS, TOWER)
    experts = nullcontext() if by_member else patch.object(Bank, "is_faster_member_by_member", return_value=False)

    def train() -> None:
        with experts:
            fit(model, log, tasks, epochs=1, batch_size=BATCH, precision=precision)
    return train


def share_reached(step: Timing, alone: Timing) -> Timing:
    """Return the share of the products' rate that a step's operations reach, round by round."""
    more = flops_per_row() * BATCH / flops_of_products()
    return Timing(tuple(more * share for share in alone.over(step).samples))


def best_way(times: Mapping[tuple[str, str], Timing], precision: str) -> str:
    """Return what multiplies these matrices the fastest."""
    return min(ways(), key=lambda way: times[precision, way].median)


def compare(form: Form) -> Report:
    """Time a step beside its large products alone, in both precisions, and profile it."""
    trainings = {precision: training(precision) for precision in precisions()}
    candidates = {(precision, "step"): train for precision, train in trainings.items()}
    candidates |= {(precision, "side by side"): training(precision, by_member=False) for precision in trainings}
    candidates |= {(precision, way): products(multiply, DTYPES[precision])
                   for precision in trainings for way, multiply in ways().items()}
    times = interleaved(candidates, form.rounds, warm_up=1)
    rows, reached, profiles = [], {}, {}
    for precision, train in trainings.items():
        best = best_way(times, precision)
        for way in ways():
            alone = times[precision, way]
            rows.append([precision, f"the experts' products alone, {way}", milliseconds(alone),
                         f"{1e-9 * flops_of_products() / alone.median:.0f}", ""])
        for name, what in (("side by side", "a step of training, the experts side by side"),
                           ("step", "a step of training, as the package does it")):
            step = times[precision, name].per(STEPS)
            reached[precision] = share_reached(step, times[precision, best])
            rows.append([precision, what, milliseconds(step),
                         f"{1e-9 * flops_per_row() * BATCH / step.median:.0f}",
                         f"{ratio(reached[precision])} of {best}"])
        profiles[precision] = shares_of_time(train)
    result = table(["precision", "what", "ms", "GFLOP/s", "share of the rate"], rows)
    where = table(["of a step's time", *profiles],
                  [[group, *(f"{100 * shares[group]:.0f} %" for shares in profiles.values())]
                   for group in (*GROUPS, REST)])
    fp32 = profiles["fp32"]
    others = sorted((group for group in fp32 if group != "products"), key=fp32.get, reverse=True)
    why = f"of the time, products take {fp32['products']:.0%}, " + ", ".join(
        f"{group} {fp32[group]:.0%}" for group in others[:3])
    return Report(f"""
MMoE at the size of *Throughput*, by `fit`: {flops_per_row() / 1e6:.2f} million floating-point operations per row
and step, {BATCH} rows per step. Held against the rate of the experts' products alone, expert by expert, forward and
backward, by whatever torch multiplies such matrices fastest with on this machine, every factor laid out as it is
wanted. *As the package does it*: the experts one after the other where that is faster (`Bank`). Median of
{form.rounds} interleaved rounds with quartiles; ratios are taken round by round.

{result}

Where the time goes, by `torch.profiler` (which itself slows Python down):

{where}""", [Finding("MMoE, fp32: share of the machine's matrix-product rate", reached["fp32"].median,
                     ratio(reached["fp32"]), why)])


if __name__ == "__main__":
    main("Limit", __doc__, compare, rounds=15)

"""What a training step costs with gradient aggregation: ours at both places, torchjd's, and the plain sum."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector
from torchjd import aggregation
from torchjd.autojac import jac_to_grad, mtl_backward

from benchmarks.comparison import Form, Report, main
from benchmarks.report import milliseconds, ratio, table
from benchmarks.rounds import interleaved
from benchmarks.targets import Finding
from mtl_tutorial.balancing.aggregator import Aggregator
from mtl_tutorial.balancing.cagrad import CAGrad
from mtl_tutorial.balancing.mgda import MGDA
from mtl_tutorial.balancing.pcgrad import PCGrad
from mtl_tutorial.balancing.scalarizer import Scalarizer, Sum
from mtl_tutorial.data.table import Table
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.tasks import Task, losses

TASKS = [Task("click"), Task("cart"), Task("purchase")]
FIELDS, IDS, DIM, ROWS = 16, 10_000, 16, 2048
BODY, TOWER = (256, 128), (64,)
METHODS = {"PCGrad": (PCGrad, aggregation.PCGrad), "MGDA": (MGDA, aggregation.MGDA),
           "CAGrad": (CAGrad, lambda: aggregation.CAGrad(0.5, norm_eps=1e-12))}     # its 1e-4 takes these for zero
# Largest difference between our step and torchjd's that is put down to rounding, or to torchjd's solver: its MGDA
# stops after 100 steps of Frank-Wolfe, its CAGrad at the tolerance of a general cone solver.
AGREES = {"PCGrad": 1e-9, "MGDA": 1e-2, "CAGrad": 1e-4}


class InOrder(PCGrad):
    """PCGrad in which every task meets the others from first to last, for the check."""

    def weights(self, gramian: Tensor, orders: Tensor | None = None) -> Tensor:
        """Map the Gramian [..., K, K] to the weights [..., K]."""
        return super().weights(gramian, torch.arange(len(TASKS)).expand_as(gramian))


def draw(dtype: torch.dtype) -> Table:
    """Return the batch, the same at every call: a purchase for every missing click, a cart at random."""
    torch.manual_seed(0)
    click, cart = (torch.rand(ROWS).round() for _ in range(2))
    targets = {"click": click, "cart": cart, "purchase": 1 - click}
    return Table(torch.randint(IDS, (ROWS, FIELDS)), (IDS,) * FIELDS, torch.zeros(ROWS, 0, dtype=dtype),
                 targets={name: target.to(dtype) for name, target in targets.items()})


def new_model(batch: Table) -> SharedBottom:
    """Return the model, the same at every call; its towers start alike, so that opposite labels conflict."""
    torch.manual_seed(0)
    model = SharedBottom(batch.schema, TASKS, DIM, BODY, TOWER).to(batch.numeric.dtype)
    with torch.no_grad():
        for parameter in model.towers.parameters():
            parameter.copy_(parameter[:1].expand_as(parameter))
    return model


def backward_by_torchjd(model: SharedBottom, batch: Table, aggregator: aggregation.Aggregator) -> None:
    """Leave torchjd's combined gradient of the shared parameters, and the towers' own gradients.

    Of torchjd's ways this was the fastest here: one backward pass after the other, and the Jacobian as one matrix.
    """
    shared = model.represent(batch.inputs)
    by_task = losses(TASKS, model.read(shared), batch)
    # the towers are one batched product, which every loss passes through: its graph has to stay
    mtl_backward(list(by_task), features=shared, retain_graph=True, parallel_chunk_size=1)
    jac_to_grad(shared_parameters(model), aggregator)


def training_step(batch: Table, backward: Callable[[SharedBottom], object],
                  optimizer: Callable[..., torch.optim.Optimizer], **settings) -> tuple[SharedBottom, Callable]:
    """Return a model and a step of its training."""
    model = new_model(batch)
    descend = optimizer(model.parameters(), **settings)

    def step() -> None:
        descend.zero_grad(set_to_none=True)
        backward(model)
        descend.step()

    return model, step


def ours(batch: Table, balance: Scalarizer | Aggregator) -> Callable[[SharedBottom], object]:
    """Return the backward pass of a method of ours."""
    return lambda model: balance.backward(model, TASKS, batch)


def theirs(batch: Table, aggregator: aggregation.Aggregator) -> Callable[[SharedBottom], object]:
    """Return the backward pass of a method of torchjd's."""
    return lambda model: backward_by_torchjd(model, batch, aggregator)


def shared_parameters(model: SharedBottom) -> list[Tensor]:
    """Return the parameters that all tasks share."""
    return [*model.encoder.parameters(), *model.body.parameters()]


def difference(mine: Aggregator, other: aggregation.Aggregator) -> float:
    """Return how far the shared parameters are apart after one step of plain descent, over the step's length."""
    batch = draw(torch.float64)
    start = parameters_to_vector(shared_parameters(new_model(batch)))
    moved = []
    for backward in (ours(batch, mine), theirs(batch, other)):
        model, step = training_step(batch, backward, torch.optim.SGD, lr=1.0)
        with patch("torch.randperm", torch.arange):         # PCGrad's orders: from first to last in both
            step()
        moved.append(parameters_to_vector(shared_parameters(model)) - start)
    return ((moved[0] - moved[1]).norm() / moved[1].norm()).item()


def check_agreement() -> dict[str, float]:
    """Return method -> how far our step is from torchjd's.

    Raises:
        SystemExit: further than rounding, or torchjd's solver, explains.
    """
    apart = {}
    for name, (mine, other) in METHODS.items():
        apart[name] = difference(InOrder() if mine is PCGrad else mine(), other())
        if not apart[name] <= AGREES[name]:
            raise SystemExit(f"{name}: after one step ours and torchjd's parameters are {apart[name]:.1e} apart, "
                             f"more than {AGREES[name]:.0e} of the step: nothing to compare")
    return apart


def compare(form: Form) -> Report:
    """Check that both agree, and time all."""
    apart, batch = check_agreement(), draw(torch.float32)
    candidates = {("Sum", ""): ours(batch, Sum())}
    for name, (mine, other) in METHODS.items():
        candidates |= {(name, f"at {at}"): ours(batch, mine(at=at)) for at in ("representation", "parameters")}
        candidates[name, "torchjd"] = theirs(batch, other())
    found = interleaved({key: training_step(batch, backward, torch.optim.Adam, fused=True)[1]
                         for key, backward in candidates.items()}, form.rounds)
    plain = found["Sum", ""]
    rows = [[name, what, milliseconds(timing), ratio(timing.over(plain)),
             ratio(timing.over(found[name, "torchjd"])) if what.startswith("at") else "",
             f"{apart[name]:.0e}" if what == "at parameters" else ""] for (name, what), timing in found.items()]
    result = table(["method", "", "ms per step", "over the sum", "over torchjd", "step differs by"], rows)
    findings = []
    for name in METHODS:
        cheap, exact, peer = (found[name, what] for what in ("at representation", "at parameters", "torchjd"))
        for what, over in (("representation over the sum", cheap.over(plain)),
                           ("parameters over torchjd's", exact.over(peer))):
            findings.append(Finding(f"{name} by {what}", over.median, ratio(over)))
    return Report(f"""
A whole training step (forward, backward, Adam) of {ROWS} rows; {FIELDS} fields of {IDS} ids, dimension {DIM},
{len(TASKS)} tasks, body {list(BODY)}, towers {list(TOWER)}. torchjd: its `mtl_backward` and `jac_to_grad` on the
shared parameters, one backward pass after the other, the fastest of its ways here. Median of {form.rounds}
interleaved rounds with quartiles; ratios are taken round by round. The last column: how far our shared parameters
and torchjd's are apart after one step of plain descent in float64, over the length of that step (PCGrad in the same
order; MGDA and CAGrad differ by what torchjd's solver leaves).

{result}""", findings)


if __name__ == "__main__":
    main("Balancing", __doc__, compare, rounds=30, quick_rounds=5)

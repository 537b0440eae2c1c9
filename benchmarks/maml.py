"""What a meta-gradient costs: ours with batched layers and by vmap, and the per-task loop of `higher`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.comparison import Form, Report, main
from benchmarks.report import milliseconds, ratio, table
from benchmarks.rounds import interleaved
from benchmarks.targets import Finding
from mtl_tutorial.layers.task_mlp import TaskMLP
from mtl_tutorial.meta.episodes import Episodes
from mtl_tutorial.meta.losses import squared_error
from mtl_tutorial.meta.maml import MAML
from mtl_tutorial.meta.memory import SavedBytes
from mtl_tutorial.meta.sinusoids import draw_sinusoids

Backward = Callable[[Episodes], object]
TASKS, SHOTS, WIDTHS, INNER_LR = 25, 10, (40, 40), 0.01
AGREES = 1e-10          # largest relative difference of the meta-gradients, in float64
INNER_STEPS = {1: "1 inner step", 5: "5 inner steps"}
BATCHED, VMAP, HIGHER = "ours, batched layers", "ours, vmap", "higher"


def draw(tasks: int = TASKS, dtype: torch.dtype = torch.float32) -> Episodes:
    """Return sinusoids, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return draw_sinusoids(tasks, generator).episodes(SHOTS, SHOTS, generator).to(dtype)


def batched_model() -> TaskMLP:
    """Return the network, the same at every call."""
    torch.manual_seed(0)
    return TaskMLP(1, WIDTHS, 1)


def plain_model() -> nn.Sequential:
    """Return the same network of plain layers, with the same weights."""
    own = batched_model()
    layers = []
    for layer in (*own.hidden, own.head):
        linear = nn.Linear(*layer.weight.shape)
        with torch.no_grad():
            linear.weight.copy_(layer.weight.T)
            linear.bias.copy_(layer.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def backward_by_higher(model: nn.Module, episodes: Episodes, steps: int) -> None:
    """Leave the meta-gradient as `higher`'s documentation does: task by task, the graph through a patched copy."""
    import higher  # in the comparisons' environment alone: without it there is still --help

    inner = torch.optim.SGD(model.parameters(), lr=INNER_LR)
    how = {"copy_initial_weights": False, "track_higher_grads": True}
    for task in range(episodes.tasks):
        with higher.innerloop_ctx(model, inner, **how) as (copy, descent):
            for _ in range(steps):
                descent.step(F.mse_loss(copy(episodes.support_x[task]), episodes.support_y[task]))
            (F.mse_loss(copy(episodes.query_x[task]), episodes.query_y[task]) / episodes.tasks).backward()


def candidates(steps: int, dtype: torch.dtype) -> dict[str, tuple[nn.Module, Backward]]:
    """Return name -> model and backward pass."""
    found: dict[str, tuple[nn.Module, Backward]] = {}
    for name, build in ((BATCHED, batched_model), (VMAP, plain_model)):
        learner = MAML(build().to(dtype), squared_error, INNER_LR, steps)
        found[name] = learner.model, learner.backward
    model = plain_model().to(dtype)
    found[HIGHER] = model, lambda episodes: backward_by_higher(model, episodes, steps)
    return found


def meta_gradient(name: str, steps: int) -> Tensor:
    """Return the meta-gradient in float64, one vector with every weight matrix laid out [inputs, outputs]."""
    model, backward = candidates(steps, torch.float64)[name]
    backward(draw(dtype=torch.float64))
    gradients = [p.grad.T if p.dim() == 2 and name != BATCHED else p.grad for p in model.parameters()]
    return torch.cat([gradient.flatten() for gradient in gradients])


def training_step(model: nn.Module, backward: Backward, episodes: Episodes) -> Callable[[], None]:
    """Return a step of meta-training."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        backward(episodes)
        optimizer.step()

    return step


def against_higher(rounds: int) -> tuple[str, list[Finding]]:
    """Check that all agree, time them, and return the table and what is held against a target."""
    rows, findings = [], []
    for steps, named in INNER_STEPS.items():
        expected, apart = meta_gradient(HIGHER, steps), {}
        for name in (BATCHED, VMAP):
            apart[name] = ((meta_gradient(name, steps) - expected).norm() / expected.norm()).item()
            if not apart[name] <= AGREES:
                raise SystemExit(f"{name}, {steps} inner steps: the meta-gradient is {apart[name]:.1e} of its "
                                 f"length off higher's, more than {AGREES:.0e}: nothing to compare")
        found = interleaved({name: training_step(model, backward, draw())
                             for name, (model, backward) in candidates(steps, torch.float32).items()}, rounds)
        rows += [[str(steps), name, milliseconds(timing), ratio(found[HIGHER].over(timing)),
                  f"{apart[name]:.0e}" if name in apart else ""]
                 for name, timing in found.items()]
        times = found[HIGHER].over(found[BATCHED])
        findings.append(Finding(f"MAML: times as fast as higher, {named}", times.median, ratio(times)))
    header = ["inner steps", "", "ms per meta-step", "times as fast as higher", "gradient differs by"]
    return table(header, rows), findings


def by_tasks(rounds: int, numbers: tuple[int, ...] = (1, 5, 25, 100)) -> str:
    """Time a meta-step against the number of tasks, and return the table."""
    steps = {}
    for name, build in ((BATCHED, batched_model), (VMAP, plain_model)):
        for number in numbers:
            learner = MAML(build(), squared_error, INNER_LR, 1)
            steps[name, number] = training_step(learner.model, learner.backward, draw(number))
    found = interleaved(steps, rounds)
    return table(["tasks", *(f"{name}: ms per task" for name in (BATCHED, VMAP))],
                 [[str(number), *(f"{1e3 * found[name, number].median / number:.3f}" for name in (BATCHED, VMAP))]
                  for number in numbers])


def memory_by_steps(numbers: tuple[int, ...] = (1, 2, 5, 10, 20)) -> str:
    """Measure what is kept for the backward pass against the inner steps, and return the table."""
    rows = []
    for steps in numbers:
        kept = []
        for first_order in (False, True):
            learner = MAML(batched_model(), squared_error, INNER_LR, steps, first_order)
            with SavedBytes() as saved:
                learner.backward(draw())
            kept.append(f"{saved.peak / 2**20:.2f}")
        rows.append([str(steps), *kept])
    return table(["inner steps", "second order: MiB kept at most", "first order"], rows)


def compare(form: Form) -> Report:
    """Check that all agree, and time and measure all; in the quick form, against higher alone."""
    result, findings = against_higher(form.rounds)
    body = f"""
A whole meta-step (inner steps, second-order meta-gradient, Adam) on {TASKS} sinusoids, K = {SHOTS}, network
1-{'-'.join(map(str, WIDTHS))}-1, float32, one thread. higher: its documented loop over tasks, with
`copy_initial_weights=False` and `track_higher_grads=True`. Median of {form.rounds} interleaved rounds with
quartiles; ratios are taken round by round. Last column: how far the meta-gradients are apart in float64, over their
length.

{result}"""
    if not form.quick:
        body += f"""

One inner step, against the number of tasks:

{by_tasks(form.rounds)}

What autograd keeps for the backward pass at most, {TASKS} tasks, batched layers:

{memory_by_steps()}"""
    return Report(body, findings)


if __name__ == "__main__":
    main("MAML", __doc__, compare, rounds=30, quick_rounds=20)

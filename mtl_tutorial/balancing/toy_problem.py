"""The two-task problem of the papers: which methods reach the Pareto set, and from where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from mtl_tutorial.balancing import two_task
from mtl_tutorial.balancing.famo import FAMO
from mtl_tutorial.progress_bar import bar
from mtl_tutorial.tasks import Task

STARTS = torch.tensor([(-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0)], dtype=torch.float64)
SCALES = torch.tensor([0.1, 1.0], dtype=torch.float64)      # the first loss is ten times smaller
SIDE = torch.tensor([-1.0, 1.0], dtype=torch.float64)       # the tasks mirror each other
LOWEST = (-2.1, -21.0)          # below both losses' minima, which FAMO wants to know
SMALL = 5e-6                    # the logarithm is cut off here

Weights = Callable[[Tensor, Tensor, Tensor], Tensor]        # (a, b, c) of the Gramian -> the weights of both tasks

AGGREGATORS: Mapping[str, Weights] = {
    "Sum": lambda a, b, c: torch.ones(*a.shape, 2, dtype=a.dtype),
    "PCGrad": two_task.pcgrad, "UPGrad": two_task.upgrad, "CAGrad": two_task.cagrad, "MGDA": two_task.mgda,
    "IMTL-G": two_task.imtl_g, "Nash-MTL": two_task.nash_mtl, "Aligned-MTL": two_task.aligned_mtl,
}


def losses_and_gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return both losses [..., 2] and their gradients [..., 2 tasks, 2 coordinates] at x [..., 2].

    Above x₂ = 0 each loss is the logarithm of a distance, steep and narrow; below it a bowl around (±7, −8). The
    Pareto set lies between the bowls' centres.

    Reference: Liu, Liu, Jin, Stone and Liu 2021, Conflict-Averse Gradient Descent for Multi-task Learning, appendix
    B, with the first loss scaled as by Navon et al. 2022, Multi-Task Learning as a Bargaining Game.
    """
    first, second = x[..., :1], x[..., 1:]                                              # [..., 1] each
    half, whole = (second / 2).tanh(), second.tanh()
    up, down = half.clamp(min=0), (-half).clamp(min=0)
    bend = (1 - half**2) / 2                                                            # derivative of tanh(x₂ / 2)
    slope_up, slope_down = bend * (second >= 0), -bend * (second <= 0)
    distance = SIDE * (3.5 - whole) - first / 2                                         # [..., 2]
    far = distance.abs() > SMALL
    narrow = distance.abs().clamp(min=SMALL).log() + 6
    inverse = torch.where(far, 1 / distance, 0.0)
    bowl = ((first + 7 * SIDE) ** 2 + 0.1 * (second + 8) ** 2) / 10 - 20
    value = up * narrow + down * bowl
    by_first = -up * inverse / 2 + down * (first + 7 * SIDE) / 5
    by_second = (slope_up * narrow - up * SIDE * (1 - whole**2) * inverse
                 + slope_down * bowl + down * 0.02 * (second + 8))
    return SCALES * value, SCALES[:, None] * torch.stack([by_first, by_second], -1)


def reached(x: Tensor) -> Tensor:
    """Say whether x [..., 2] lies on the Pareto set, as far as a fixed step size can tell: [...] bool."""
    return ((x[..., 1] + 8.2).abs() < 0.7) & (x[..., 0].abs() < 7.3)


def trajectories(steps: int = 10_000, lr: float = 5e-3, keep: int = 100, starts: Tensor = STARTS,
                 aggregators: Mapping[str, Weights] = AGGREGATORS,
             famo_decays: Mapping[str, float] = MappingProxyType({"FAMO": 1e-5})) -> dict[str, Tensor]:
    """Walk from every start with every method, all in one tensor, by Adam.

    Args:
        steps: of Adam.
        lr: its step size; with another the verdicts change.
        keep: points kept of each trajectory, the start first.
        starts: [S, 2] float64.
        aggregators: name -> weights from the Gramian.
        famo_decays: name -> decay of a FAMO, which looks at the losses alone.

    Returns:
        Name -> trajectory [keep + 1, S, 2].
    """
    pair = [Task("first"), Task("second")]
    famos = [FAMO(pair, LOWEST, decay=decay, repeats=len(starts)).double() for decay in famo_decays.values()]
    names = [*aggregators, *famo_decays]
    x = starts.expand(len(names), *starts.shape).clone()                                # [M, S, 2], FAMO last
    mean, square = torch.zeros_like(x), torch.zeros_like(x)
    kept = [x.clone()]
    losses, gradients = losses_and_gradients(x)
    with bar(steps, "walking") as progress:
        for step in range(1, steps + 1):
            g, h = gradients.unbind(-2)                                                 # [M, S, 2] of each task
            a, b, c = (g * g).sum(-1), (g * h).sum(-1), (h * h).sum(-1)                 # [M, S]
            weights = [method(a[m], b[m], c[m]) for m, method in enumerate(aggregators.values())]
            weights += [famo.weigh(losses[m]) for m, famo in enumerate(famos, len(aggregators))]
            direction = (torch.stack(weights).unsqueeze(-1) * gradients).sum(-2)        # [M, S, 2]
            mean.lerp_(direction, 0.1)
            square.lerp_(direction**2, 0.001)
            x = x - lr * mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
            losses, gradients = losses_and_gradients(x)
            for m, famo in enumerate(famos, len(aggregators)):
                famo.after_step(losses[m])
            if step * keep // steps > (step - 1) * keep // steps:
                kept.append(x.clone())
            progress.update()
    walked = torch.stack(kept, 1)                                                       # [M, keep + 1, S, 2]
    return dict(zip(names, walked, strict=True))

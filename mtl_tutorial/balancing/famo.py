"""FAMO: all losses shall fall at the same rate, found from the losses alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_tutorial.balancing.scalarizer import Scalarizer, check_shape, state
from mtl_tutorial.tasks import Task

TINY = 1e-8


class FAMO(Scalarizer):
    """Descend Σ_k z_k log L_k, scaled; after the step, shift the weights z to the tasks that improved least.

    The weights' logits ξ take one Adam step per training step, along the gradient of z = softmax(ξ) weighted by how
    much the log of each loss has fallen. That needs the losses of the same batch after the step: one more forward
    pass, instead of K backward passes.

    Args:
        tasks: K tasks.
        lower_bounds: of the losses, one per task; zeros if left out. A loss must stay above its bound: one at or
            below it counts as that of a batch without a label of the task, and is left out of the step.
        lr: of the logits.
        decay: of the logits (γ of the paper).
        repeats: R, for a stack of models.

    Raises:
        ValueError: another number of bounds than of tasks; losses of other tasks or repeats.

    Reference: Liu, Feng, Stone and Liu 2023, FAMO: Fast Adaptive Multitask Optimization, algorithm 2.
    """

    looks_back = True

    def __init__(self, tasks: Sequence[Task], lower_bounds: Sequence[float] | None = None, lr: float = 0.025,
                 decay: float = 1e-3, repeats: int | None = None):
        super().__init__()
        self.lr, self.decay = lr, decay
        for name in ("logits", "before", "mean", "square"):
            self.register_buffer(name, state(tasks, repeats))
        bounds = [0.0] * len(tasks) if lower_bounds is None else list(lower_bounds)
        if len(bounds) != len(tasks):
            raise ValueError(f"{len(bounds)} lower bounds for {len(tasks)} tasks")
        self.register_buffer("lower_bounds", torch.tensor(bounds))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, losses: Tensor) -> Tensor:
        """Map the losses [..., K] to the objective [...]."""
        shifted = losses - self.lower_bounds + TINY
        return (self.weigh(losses.detach()) * shifted.detach() * shifted.log()).sum(-1)

    def weigh(self, losses: Tensor) -> Tensor:
        """Return the weight of each task's gradient, z_k / L_k scaled to sum 1, [..., K], and note the losses."""
        check_shape(self.logits, losses)
        self.before.copy_(losses)
        weights = self.logits.softmax(-1) * self._present(losses) / (losses - self.lower_bounds + TINY)
        return weights / weights.sum(-1, keepdim=True).clamp(min=TINY)

    def _present(self, losses: Tensor) -> Tensor:
        """Say which losses lie above their bounds, as those of a batch without a label do not, [..., K] bool."""
        return losses > self.lower_bounds

    @torch.no_grad()
    def after_step(self, losses: Tensor) -> None:
        """Move the logits by Adam: the gradient is softmax's, weighted by log L(before) − log L(after).

        A task that the batch has no label of neither gains nor loses weight by it.
        """
        fallen = ((self.before - self.lower_bounds + TINY).log()
                  - (losses - self.lower_bounds + TINY).log())                          # [..., K]
        weights = self.logits.softmax(-1)
        share = weights * (self._present(self.before) & self._present(losses))
        mean = (share * fallen).sum(-1, keepdim=True) / share.sum(-1, keepdim=True).clamp(min=TINY)
        gradient = share * (fallen - mean) + self.decay * self.logits
        self.steps += 1
        self.mean.lerp_(gradient, 0.1)
        self.square.lerp_(gradient**2, 0.001)
        age = self.steps.to(gradient.dtype)
        mean = self.mean / -(age * math.log(0.9)).expm1()                               # 1 − 0.9 ^ age
        square = self.square / -(age * math.log(0.999)).expm1()
        self.logits -= self.lr * mean / (square.sqrt() + TINY)

    def extra_repr(self) -> str:
        """Show the settings: a checkpoint must not be continued with others."""
        return f"lr={self.lr}, decay={self.decay}, lower_bounds={self.lower_bounds.tolist()}"

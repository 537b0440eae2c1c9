"""One training loop for every learner of episodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mtl_tutorial.meta.episodes import Episodes, validate
from mtl_tutorial.meta.learner import EpisodeLearner
from mtl_tutorial.progress_bar import bar
from mtl_tutorial.training_state import NonFiniteLoss

CHECK_EVERY = 50        # steps between looks at the losses: a look waits for the device


@dataclass
class MetaHistory:
    """What happened in training; R is 1 for a single model.

    Attributes:
        losses: mean over the tasks of each step, [steps, R].
        validation: (step, mean query loss after adaptation [R]) of each look.
        seconds: that it took.
    """

    losses: Tensor
    validation: list[tuple[int, Tensor]] = field(default_factory=list)
    seconds: float = 0.0


def meta_fit(learner: EpisodeLearner, draw: Callable[[int], Episodes], *, steps: int, lr: float = 1e-3,
             validation: Episodes | None = None, evaluate_every: int | None = None,
             description: str = "meta-training") -> MetaHistory:
    """Train a learner in place with Adam, one batch of tasks per step.

    Args:
        learner: any :class:`~mtl_tutorial.meta.learner.EpisodeLearner`.
        draw: step 0, 1, … -> the tasks of this step, on the learner's device.
        steps: how many.
        lr: Adam's step size.
        validation: tasks never drawn in training; with them, the weights of the lowest query loss after adaptation
            are those kept at the end (of each repeat its own).
        evaluate_every: steps between looks at validation, the last step always; a tenth of the steps if left out.
        description: of the progress bar.

    Returns:
        The history. The learner is left in evaluation mode.

    Raises:
        NonFiniteLoss: a query loss became NaN or infinite.
        ValueError: episodes whose shapes do not fit together (looked at in the first step, and in validation).
    """
    started = time.perf_counter()
    if steps < 1:
        raise ValueError(f"steps={steps} must be at least 1")
    optimizer = torch.optim.Adam([p for p in learner.parameters() if p.requires_grad], lr=lr, fused=True)
    repeats = learner.repeats or 1
    evaluate_every = evaluate_every or max(1, steps // 10)
    best = _Best(learner, repeats)
    if validation is not None:
        validate(validation)
    losses, history = [], MetaHistory(torch.zeros(0, repeats))
    with bar(steps, description) as progress:
        for step in range(steps):
            learner.train()
            episodes = draw(step)
            if step == 0:
                validate(episodes)
            optimizer.zero_grad(set_to_none=True)
            losses.append(learner.backward(episodes).view(repeats, -1).mean(1))         # [R]
            optimizer.step()
            progress.update()
            last = step + 1 == steps
            if last or step % CHECK_EVERY == 0:
                _refuse_non_finite(losses, step)
            if validation is not None and (last or (step + 1) % evaluate_every == 0):
                learner.eval()
                with torch.no_grad():
                    found = learner.adapted_loss(validation).view(repeats, -1).mean(1)  # [R]
                _refuse_non_finite([found], step, "validation")
                history.validation.append((step + 1, found))
                best.look(found)
    if validation is not None:
        best.restore()
    learner.eval()
    history.losses, history.seconds = torch.stack(losses), time.perf_counter() - started
    return history


class _Best:
    """The parameters at the lowest validation loss so far, of each repeat its own."""

    def __init__(self, learner: EpisodeLearner, repeats: int):
        self.parameters, self.stacked = list(learner.parameters()), learner.repeats is not None
        self.kept = [p.detach().clone() for p in self.parameters]
        self.lowest = torch.full((repeats,), torch.inf)

    def look(self, found: Tensor) -> None:
        """Keep the present parameters of the repeats whose validation loss [R] is lower than ever."""
        better = found.cpu() < self.lowest                                              # [R]
        self.lowest = torch.where(better, found.cpu(), self.lowest)
        for kept, present in zip(self.kept, self.parameters, strict=True):
            if self.stacked:
                kept[better] = present.detach()[better]
            elif better:
                kept.copy_(present.detach())

    @torch.no_grad()
    def restore(self) -> None:
        """Write them back."""
        for kept, present in zip(self.kept, self.parameters, strict=True):
            present.copy_(kept)


def _refuse_non_finite(losses: list[Tensor], step: int, kind: str = "training") -> None:
    recent = torch.stack(losses[-CHECK_EVERY:])                                         # [≤ CHECK_EVERY, R]
    if not recent.isfinite().all():
        row, repeat = (~recent.isfinite()).nonzero()[0].tolist()
        first = step + 1 - len(recent) + row
        value = float(recent[row, repeat])
        raise NonFiniteLoss(f"step {first}: the {kind} loss of repeat {repeat} is {value}: with "
                            "a smaller inner_lr, fewer inner steps or a smaller lr the inner steps do not diverge")

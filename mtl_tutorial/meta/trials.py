"""Ways to adapt, side by side: what a learner predicts at each rate and after each number of steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mtl_tutorial.meta.brand_intercepts import brand_intercepts
from mtl_tutorial.meta.episodes import Episodes
from mtl_tutorial.meta.losses import RowLoss, mean_over_rows
from mtl_tutorial.meta.maml import MAML

Trials = Callable[[Episodes], Tensor]               # tasks -> outputs on their query rows, [trials, T, Q, …]


def after_steps(learners: Mapping[float, MAML], steps: Sequence[int]) -> Trials:
    """Try every rate with every number of steps.

    Args:
        learners: inner rate -> learner to adapt by it; the same learner at each, where the rate makes no difference
            in training.
        steps: numbers of steps; 0 is the start itself.

    Returns:
        Tasks -> outputs of len(learners) · len(steps) trials, rate by rate. Nothing is kept for a gradient.
    """
    @torch.no_grad()
    def trials(tasks: Episodes) -> Tensor:
        found = []
        for rate, learner in learners.items():
            own, learner.inner_lr = learner.inner_lr, rate
            path = enumerate(learner.path(*tasks.support, max(steps)))
            reached = {count: weights for count, weights in path if count in steps}
            found += [learner.predict(reached[count], tasks.query_x) for count in steps]
            learner.inner_lr = own
        return torch.stack(found)
    return trials


def with_intercepts(learner: MAML, precisions: Sequence[float]) -> Trials:
    """Leave the learner as it is and add :func:`brand_intercepts` to its logits, at each precision of a prior."""
    @torch.no_grad()
    def trials(tasks: Episodes) -> Tensor:
        start = learner.adapt(*tasks.support, steps=0)
        seen, asked = (learner.predict(start, x) for x in (tasks.support_x, tasks.query_x))     # [T, S or Q, C]
        own = [brand_intercepts(seen, tasks.support_y, tasks.support_mask, precision) for precision in precisions]
        return asked + torch.stack(own).unsqueeze(2)                                            # [trials, T, Q, C]
    return trials


def trial_losses(outputs: Tensor, tasks: Episodes, loss: RowLoss) -> Tensor:
    """Return each trial's mean loss on the query rows of each task, [trials, T].

    Args:
        outputs: of the trials, [trials, T, Q, …].
        tasks: T of them.
        loss: of each row.
    """
    return torch.stack([mean_over_rows(loss(one, tasks.query_y), tasks.query_mask) for one in outputs])

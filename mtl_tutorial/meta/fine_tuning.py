"""The rival that every meta-learner has to beat: train on all tasks pooled, then fine-tune."""

from __future__ import annotations

from torch import Tensor

from mtl_tutorial.meta.episodes import Episodes, all_rows, blanked
from mtl_tutorial.meta.losses import mean_over_rows
from mtl_tutorial.meta.maml import MAML
from mtl_tutorial.meta.weights import initial_weights, spread


class FineTuning(MAML):
    """Train one model on the rows of all tasks as if they were one task; adapt it by the steps that MAML takes.

    In training nothing adapts. The rate that suits it is seldom MAML's: tune ``inner_lr`` and ``inner_steps`` on
    validation tasks before comparing.

    Args: as for :class:`~mtl_tutorial.meta.maml.MAML`; the order makes no difference.
    """

    def forward(self, episodes: Episodes) -> Tensor:
        """Return each task's loss on all its rows, support and query, before any adaptation, [T]."""
        x, y, mask = all_rows(episodes)
        x, y = blanked(x, y, mask)
        weights = spread(initial_weights(self.model), len(x), self.repeats)
        return mean_over_rows(self.loss(self.predict(weights, x), y), mask)

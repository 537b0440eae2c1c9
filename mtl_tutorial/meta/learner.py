"""What all learners of episodes have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from mtl_tutorial.meta.episodes import Episodes, blanked
from mtl_tutorial.meta.losses import RowLoss, mean_over_rows
from mtl_tutorial.meta.weights import Weights
from mtl_tutorial.models.stacked import Stacked


class EpisodeLearner(nn.Module, ABC):
    """A model with a way to adapt it to a task from a few rows.

    Args:
        model: any module, or R of them as a :class:`~mtl_tutorial.models.stacked.Stacked`; episodes are then R
            times as many, those of repeat 0 first.
        loss: of each row; see :mod:`mtl_tutorial.meta.losses`.

    Attributes:
        repeats: R, or None for a single model.
    """

    def __init__(self, model: nn.Module, loss: RowLoss):
        super().__init__()
        self.model, self.loss = model, loss
        self.repeats = model.repeats if isinstance(model, Stacked) else None

    @abstractmethod
    def adapt(self, support_x: Tensor, support_y: Tensor, support_mask: Tensor | None = None) -> Weights:
        """Return what T tasks learn from their support rows: name -> [T, …].

        What stands in rows that do not count has no influence, NaN included, nor on a gradient.
        Under ``torch.no_grad()`` it adapts all the same, and keeps nothing for a gradient through it.
        """

    @abstractmethod
    def predict(self, adapted: Weights, x: Tensor) -> Tensor:
        """Map rows of T tasks [T, N, …] to outputs [T, N, …] (logits, for classes)."""

    def forward(self, episodes: Episodes) -> Tensor:
        """Return the loss of each task that training lowers, [T]: by default that after adaptation."""
        return self.adapted_loss(episodes)

    def adapted_loss(self, episodes: Episodes) -> Tensor:
        """Return each task's loss on its query rows after adaptation to its support rows, [T]."""
        return self.query_loss(self.adapt(*episodes.support), episodes)

    def query_loss(self, adapted: Weights, episodes: Episodes) -> Tensor:
        """Return each task's mean loss on its query rows, [T]."""
        x, y = blanked(*episodes.query)
        return mean_over_rows(self.loss(self.predict(adapted, x), y), episodes.query_mask)

    def backward(self, episodes: Episodes) -> Tensor:
        """Add the gradient of the mean of :meth:`forward` to ``.grad``, and return its losses, [T].

        Of repeats, each gets that of its own tasks.
        """
        losses = self(episodes)
        (losses.sum() * ((self.repeats or 1) / len(losses))).backward()
        return losses.detach()

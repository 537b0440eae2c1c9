"""Which brand is taken from a shelf: one network scores every place, and the places compete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.layers.task_mlp import TaskMLP


class ShelfChoice(nn.Module):
    """A conditional logit whose utility is a small network, the same for every place on the shelf.

    Emits one logit per place. An empty place, whose first feature is 0, gets the lowest finite number and is never
    taken; minus infinity would make NaN of a purchase that is padding, where all places are empty.

    Args:
        features: F of each place.
        widths: of the hidden layers.

    The last layer's parameters are ``network.head.weight`` and ``network.head.bias``.

    Reference: McFadden 1974, Conditional Logit Analysis of Qualitative Choice Behavior, equation 12.
    """

    def __init__(self, features: int, widths: Sequence[int]):
        super().__init__()
        self.network = TaskMLP(features, widths, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map shelves [..., J, F] to logits [..., J]."""
        return _occupied(self.network(x).squeeze(-1), x)

    def task_forward(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Map the shelves of T tasks [T, N, J, F] to logits [T, N, J], by each task's own weights."""
        own = {name.removeprefix("network."): value for name, value in parameters.items()}
        return _occupied(self.network.task_forward(own, x).squeeze(-1), x)


def _occupied(logits: Tensor, x: Tensor) -> Tensor:
    """Lower the logits [..., J] of the empty places."""
    return logits.masked_fill(x[..., 0] == 0, torch.finfo(logits.dtype).min)

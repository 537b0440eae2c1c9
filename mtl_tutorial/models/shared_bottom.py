"""The shared bottom: one body, one tower per task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.tasks import Task


def shared_bottom_forward(x: Tensor, body: Callable[[Tensor], Tensor],
                          towers: Mapping[str, Callable[[Tensor], Tensor]]) -> dict[str, Tensor]:
    """Run the body once, then every tower on what it found: the definition, tower by tower.

    :class:`SharedBottom` computes the same with all towers in one product.

    Args:
        x: one vector per row, [B, I].
        body: maps [B, I] to [B, H].
        towers: task -> a map from [B, H] to [B, 1].

    Returns:
        Task -> logits [B].
    """
    shared = body(x)                                                                    # [B, H]
    return {task: tower(shared).squeeze(-1) for task, tower in towers.items()}


class SharedBottom(nn.Module):
    """All tasks read the output of one body.

    Args:
        schema: of the table.
        tasks: T tasks.
        dim: embedding dimension.
        widths: hidden layers of the shared body.
        tower: hidden layers of each task's tower.

    Reference: Caruana 1997, Multitask Learning.
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], dim: int = 8,
                 widths: Sequence[int] = (128,), tower: Sequence[int] = (16,)):
        super().__init__()
        self.encoder = FeatureEncoder(schema, dim)
        self.body = Bank(1, self.encoder.width, widths)
        self.towers = Towers(tasks, self.body.width, tower)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        return self.read(self.represent(inputs))

    def represent(self, inputs: Inputs) -> Tensor:
        """Return the vector that all towers read, [B, 1, H]."""
        return self.body(self.encoder(inputs))

    def read(self, representation: Tensor) -> dict[str, Tensor]:
        """Map the vector [B, 1, H], or a copy of it for each task [B, T, H], to task -> logits."""
        return self.towers(representation)

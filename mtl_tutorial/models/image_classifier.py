"""A small convolutional network for pictures of products."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.tasks import Task


class ImageClassifier(nn.Module):
    """Convolutions that halve the picture, one hidden layer, and a linear head for each task.

    A head has ``task.outputs`` logits; a binary or regression task has one.

    Args:
        schema: of a table whose numeric features are the pixels of a square grey picture, row by row.
        tasks: T tasks.
        channels: of the convolutions (3 × 3, stride 2, each followed by ReLU).
        width: of the hidden layer.

    Raises:
        ValueError: the number of pixels is not a square, or the table has ids beside them.

    Reference: LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition, for the idea.
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], channels: Sequence[int] = (16, 32), width: int = 64):
        super().__init__()
        self.side = math.isqrt(schema.numeric)
        if self.side ** 2 != schema.numeric:
            raise ValueError(f"{schema.numeric} pixels are no square picture")
        if schema.cardinalities:
            raise ValueError(f"a picture has no ids, but the table has "
                             f"{len(schema.cardinalities)} categorical fields")
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, kernel_size=3, stride=2, padding=1)
                                          for pair in itertools.pairwise((1, *channels)))
        side = self.side
        for _ in channels:
            side = (side + 1) // 2
        self.hidden = nn.Linear((channels[-1] if channels else 1) * side ** 2, width)
        self.heads = nn.ModuleDict({task.name: nn.Linear(width, task.outputs) for task in tasks})

    def layers(self, inputs: Inputs) -> list[Tensor]:
        """Return what each convolution and then the hidden layer says of each picture, flat: [B, ·] each."""
        x = inputs.numeric.unflatten(-1, (1, self.side, self.side))                     # [B, 1, S, S]
        found = []
        for convolution in self.convolutions:
            x = convolution(x).relu()                                                   # [B, C, S/2, S/2]
            found.append(x.flatten(1))
        return [*found, self.hidden(x.flatten(1)).relu()]                               # the last [B, H]

    def represent(self, inputs: Inputs) -> Tensor:
        """Return the hidden layer, which the heads read, [B, 1, H]."""
        return self.layers(inputs)[-1].unsqueeze(1)

    def read(self, representation: Tensor) -> dict[str, Tensor]:
        """Map the hidden layer [B, 1, H] to task -> logits [B, C], or [B] where there is one."""
        x = representation.squeeze(1)                                                   # [B, H]
        outputs = {name: head(x) for name, head in self.heads.items()}                  # [B, C]
        return {name: output if output.shape[-1] > 1 else output.squeeze(-1) for name, output in outputs.items()}

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        return self.read(self.represent(inputs))

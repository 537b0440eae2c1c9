"""PLE: shared and task-specific experts, extracted level by level. CGC: one level of it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.extraction import ExtractionLevel
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.tasks import Task


class PLE(nn.Module):
    """Every task owns experts; shared experts serve all; levels refine both before the towers.

    Args:
        schema: of the table.
        tasks: T tasks.
        dim: embedding dimension.
        own: experts per task and level.
        shared: shared experts per level.
        widths: hidden layers of each expert, the same at every level.
        tower: hidden layers of each task's tower.
        levels: of extraction.

    Reference: Tang et al. 2020, Progressive Layered Extraction (PLE), section 4.
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], dim: int = 8, own: int = 2, shared: int = 4,
                 widths: Sequence[int] = (16,), tower: Sequence[int] = (16,), levels: int = 2):
        super().__init__()
        self.encoder = FeatureEncoder(schema, dim)
        sizes = [self.encoder.width] + [widths[-1]] * (levels - 1)
        self.levels = nn.ModuleList(
            ExtractionLevel(size, len(tasks), own, shared, widths, last=level == levels - 1)
            for level, size in enumerate(sizes))
        self.towers = Towers(tasks, widths[-1], tower)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        x = self.encoder(inputs)                                                        # [B, I]
        for level in self.levels:
            x = level(x)                                                                # [B, T + 1, H]
        return self.towers(x)                                                           # last: [B, T, H]

    def gate_weights(self, inputs: Inputs) -> Tensor:
        """Return the last level's gates, [B, T, P + S]: a task's own experts first, then the shared."""
        x = self.encoder(inputs)
        for level in self.levels[:-1]:
            x = level(x)
        return self.levels[-1].gate_logits(x).softmax(-1)


class CGC(PLE):
    """PLE with one level: customised gate control (the same paper, section 4.1)."""

    def __init__(self, schema: Schema, tasks: Sequence[Task], dim: int = 8, own: int = 2, shared: int = 4,
                 widths: Sequence[int] = (16,), tower: Sequence[int] = (16,)):
        super().__init__(schema, tasks, dim, own, shared, widths, tower, levels=1)

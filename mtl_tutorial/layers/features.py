"""From a row's ids and numbers to one vector."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema


class FusedEmbedding(nn.Module):
    """All categorical fields in one table: a field's ids start where the field before it ends.

    One lookup serves every field, instead of one small lookup per field.

    Args:
        cardinalities: vocabulary size of each of the F fields.
        dim: numbers per id.
    """

    def __init__(self, cardinalities: tuple[int, ...], dim: int):
        super().__init__()
        starts = [0, *itertools.accumulate(cardinalities)]
        self.register_buffer("offsets", torch.tensor(starts[:-1], dtype=torch.long), persistent=False)
        self.table = nn.Embedding(starts[-1], dim)
        nn.init.normal_(self.table.weight, std=0.1)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids [B, F] and return their vectors side by side, [B, F·dim]."""
        return self.table(ids + self.offsets).flatten(-2)


class FeatureEncoder(nn.Module):
    """Embeddings of the ids beside the numeric features: the input x of every model.

    Args:
        schema: of the tables that the model will see.
        dim: numbers per embedded id.

    Attributes:
        width: length of the vector, F·dim + D.
    """

    def __init__(self, schema: Schema, dim: int = 8):
        super().__init__()
        self.embedding = FusedEmbedding(schema.cardinalities, dim) if schema.cardinalities else None
        self.width = len(schema.cardinalities) * dim + schema.numeric

    def forward(self, inputs: Inputs) -> Tensor:
        """Return x, [B, width]."""
        if self.embedding is None:
            return inputs.numeric
        return torch.cat([self.embedding(inputs.categorical), inputs.numeric], -1)      # [B, F·dim + D]

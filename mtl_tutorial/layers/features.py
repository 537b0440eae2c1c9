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
        """Look up ids [B, F] and return their vectors, [B, F, dim]."""
        place = ids + self.offsets                                                      # [B, F]
        if self.table.sparse:
            return self.table(place)
        # of the forms with a dense gradient the fastest on a CPU, forward and backward
        return self.table.weight.index_select(0, place.flatten()).unflatten(0, place.shape)


class FeatureEncoder(nn.Module):
    """Embeddings of the ids beside the numeric features: the input x of every model.

    Args:
        schema: of the tables that the model will see.
        dim: numbers per embedded id.
        copies: make this many encoders, with embeddings of their own, in one lookup.

    Attributes:
        width: length of the vector, F·dim + D.
    """

    def __init__(self, schema: Schema, dim: int = 8, copies: int | None = None):
        super().__init__()
        self.copies = copies
        self.embedding = FusedEmbedding(schema.cardinalities, dim * (copies or 1)) if schema.cardinalities else None
        self.width = len(schema.cardinalities) * dim + schema.numeric

    def forward(self, inputs: Inputs) -> Tensor:
        """Return x, [B, width]; with copies, [B, copies, width]."""
        numeric = inputs.numeric                                                        # [B, D]
        if self.copies is not None:
            numeric = numeric.unsqueeze(1).expand(-1, self.copies, -1)                  # [B, C, D]
        if self.embedding is None:
            return numeric
        vectors = self.embedding(inputs.categorical)                                    # [B, F, (C·)dim]
        if self.copies is not None:
            vectors = vectors.unflatten(-1, (self.copies, -1)).transpose(1, 2)          # [B, C, F, dim]
        return torch.cat([vectors.flatten(-2), numeric], -1)                            # [B, (C,) F·dim + D]

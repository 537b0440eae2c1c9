"""Two towers: users and items become vectors that meet in one inner product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.features import FeatureEncoder


class Columns(NamedTuple):
    """The columns that one tower reads: places among a table's categorical fields and numeric features."""

    categorical: Sequence[int]
    numeric: Sequence[int] = ()


class Tower(nn.Module):
    """From some columns of a row to one vector.

    Args:
        schema: of the table.
        columns: what the tower reads.
        dim: embedding dimension.
        widths: hidden layers.
        outputs: length of the vector.
        hidden_share: of the rows in training whose first field is hidden, its embedding set to zero.
    """

    def __init__(self, schema: Schema, columns: Columns, dim: int, widths: Sequence[int], outputs: int,
                 hidden_share: float = 0.0):
        super().__init__()
        self.fields, self.numbers = list(columns.categorical), list(columns.numeric)
        self.dim, self.hidden_share = dim, hidden_share
        sizes = tuple(schema.cardinalities[place] for place in self.fields)
        self.encoder = FeatureEncoder(Schema(sizes, len(self.numbers), 1), dim)
        self.body = Bank(1, self.encoder.width, widths)
        self.last = nn.Linear(self.body.width, outputs)

    def forward(self, inputs: Inputs, known: Tensor | None = None) -> Tensor:
        """Return the vectors [B, outputs]; the first field is hidden where ``known`` [B] is False."""
        x = self.encoder(Inputs(inputs.categorical[:, self.fields], inputs.numeric[:, self.numbers],
                                inputs.scenario))                                       # [B, F·dim + D]
        if known is None and self.training and self.hidden_share:
            known = torch.rand(x.shape[:1], device=x.device) >= self.hidden_share       # [B]
        if known is not None:
            x = torch.cat([x[:, :self.dim] * known.unsqueeze(-1), x[:, self.dim:]], -1)
        return self.last(self.body(x).squeeze(1))                                       # [B, outputs]


class TwoTower(nn.Module):
    """A user tower and an item tower; the score of a pair is s(u, i) = ⟨x_u, y_i⟩ / τ.

    Neither tower sees the other's columns, so the vectors of all items can be computed once and searched. What the
    item tower reads decides whether it can speak of an item that no training row held: of its columns yes, of its
    id no.

    Args:
        schema: of the table.
        user: columns of the user tower (the scenario's field may be one of them).
        item: columns of the item tower.
        task: name of the output.
        dim: embedding dimension.
        widths: hidden layers of each tower.
        outputs: length of the vectors.
        unit: scale all vectors to length 1, so that scores are cosines over τ.
        temperature: τ > 0; None to learn it, from 0.1.
        id_dropout: share of the training rows, 0 … 1, in which the item tower's first field is hidden, so that it
            learns to do without. Make that field the item's id.

    Raises:
        ValueError: a tower without columns, a column that the schema does not have or that both towers read, a
            temperature or a share out of range, an id to drop that is all the tower reads.

    Reference: Yi et al. 2019, Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations,
    section 3; Volkovs, Yu and Poutanen 2017, DropoutNet, for ``id_dropout``.
    """

    def __init__(self, schema: Schema, user: Columns, item: Columns, task: str = "item", *, dim: int = 16,
                 widths: Sequence[int] = (64,), outputs: int = 32, unit: bool = True,
                 temperature: float | None = 0.1, id_dropout: float = 0.0):
        super().__init__()
        _check(schema, user, item)
        if temperature is not None and not temperature > 0:
            raise ValueError(f"temperature={temperature} must be above 0")
        if not 0 <= id_dropout < 1:
            raise ValueError(f"id_dropout={id_dropout} is outside 0 … 1 (1 excluded)")
        if id_dropout and (not item.categorical or len(item.categorical) + len(item.numeric) < 2):
            raise ValueError("id_dropout needs an item tower with an id first and columns beside it")
        self.task, self.unit = task, unit
        self.user = Tower(schema, user, dim, widths, outputs)
        self.item = Tower(schema, item, dim, widths, outputs, id_dropout)
        log_scale = torch.tensor(-math.log(temperature if temperature is not None else 0.1))
        if temperature is None:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def user_vectors(self, inputs: Inputs) -> Tensor:
        """Return x_u of each row, [B, outputs]; 1 / τ is part of it, so that scores are plain inner products."""
        return self._scaled(self.user(inputs)) * self.log_scale.exp()

    def item_vectors(self, inputs: Inputs, known: Tensor | None = None) -> Tensor:
        """Return y_i of each row, [B, outputs].

        Args:
            inputs: of B items; the user's columns are not read.
            known: False where the item's first field, its id, was never trained and is to be hidden, [B] bool.
        """
        return self._scaled(self.item(inputs, known))

    def _scaled(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=-1) if self.unit else vectors

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> the score of every row's user with every row's item, [B, B]."""
        return {self.task: self.user_vectors(inputs) @ self.item_vectors(inputs).T}


def _check(schema: Schema, user: Columns, item: Columns) -> None:
    for kind, size in (("categorical", len(schema.cardinalities)), ("numeric", schema.numeric)):
        for side, columns in (("user", user), ("item", item)):
            foreign = [place for place in getattr(columns, kind) if not 0 <= place < size]
            if foreign:
                raise ValueError(f"{side} tower: there is no {kind} column {foreign[0]}; the table has {size}")
        both = set(getattr(user, kind)) & set(getattr(item, kind))
        if both:
            raise ValueError(f"{kind} column {min(both)} is read by both towers; a column belongs to user or item")
    for side, columns in (("user", user), ("item", item)):
        if not columns.categorical and not columns.numeric:
            raise ValueError(f"{side} tower: no columns to read")

"""Collaborative filtering and content in one network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.features import FeatureEncoder, FusedEmbedding
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.tasks import Task

VIEWS = ("collaborative", "content")


class Hybrid(nn.Module):
    """Two views of a (user, item) pair, joined, and one tower per task.

    The *collaborative* view knows who and what by their ids alone: u, v and u ⊙ v. The *content* view knows all
    other columns, profile and features, and nobody in particular: it can speak of users and items it never saw.

    Args:
        schema: of the table.
        tasks: T tasks.
        pair: places of the user's and the item's id among the categorical fields; the other fields are content.
        views: which of VIEWS to look through.
        dim: embedding dimension.
        widths: hidden layers of the body that reads the joined views.
        tower: hidden layers of each task's tower.

    Raises:
        ValueError: no view, an unknown one, one without columns, or a pair of one and the same field.

    Reference: Burke 2002, Hybrid Recommender Systems, section 3.4 (feature combination); He et al. 2017, Neural
    Collaborative Filtering, for the product of the embeddings.
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], pair: tuple[int, int] = (0, 1),
                 views: Sequence[str] = VIEWS, dim: int = 8, widths: Sequence[int] = (64,),
                 tower: Sequence[int] = (16,)):
        super().__init__()
        if isinstance(views, str):
            raise ValueError(f"views is the string {views!r}, but must be a sequence: write ({views!r},)")
        if not views or set(views) - set(VIEWS):
            raise ValueError(f"views {tuple(views)}: choose one or both of {', '.join(VIEWS)}")
        self.pair = list(pair)
        self.rest = [place for place in range(len(schema.cardinalities)) if place not in pair]
        if pair[0] == pair[1]:
            raise ValueError(f"user and item are both field {pair[0]}: a pair needs two")
        if "content" in views and not self.rest and not schema.numeric:
            raise ValueError("the content view has no columns: the table holds ids alone; use the view "
                             "'collaborative'")
        sizes = schema.cardinalities
        of_pair, of_rest = (tuple(sizes[place] for place in places) for places in (self.pair, self.rest))
        self.ids = FusedEmbedding(of_pair, dim) if "collaborative" in views else None
        self.content = FeatureEncoder(schema._replace(cardinalities=of_rest), dim) if "content" in views else None
        width = (3 * dim if self.ids is not None else 0) + (self.content.width if self.content is not None else 0)
        self.body = Bank(1, width, widths)
        self.towers = Towers(tasks, self.body.width, tower)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        return self.read(self.represent(inputs))

    def represent(self, inputs: Inputs) -> Tensor:
        """Return the vector that all towers read, [B, 1, H]."""
        views = []
        if self.ids is not None:
            user, item = self.ids(inputs.categorical[:, self.pair]).unbind(1)           # [B, d] each
            views += [user, item, user * item]
        if self.content is not None:
            views.append(self.content(inputs._replace(categorical=inputs.categorical[:, self.rest])))   # [B, C]
        return self.body(torch.cat(views, -1))                                          # [B, 1, H]

    def read(self, representation: Tensor) -> dict[str, Tensor]:
        """Map the vector [B, 1, H], or a copy of it for each task [B, T, H], to task -> logits."""
        return self.towers(representation)

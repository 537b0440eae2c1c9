"""ESMM: learn conversion from all impressions, through the product with the click probability."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.tasks import Task


def product_logit(first: Tensor, second: Tensor) -> Tensor:
    """Return the logit of σ(first) · σ(second), without leaving the logarithmic scale; any equal shapes.

    From 1/p − 1 = (1 + e^−a)(1 + e^−b) − 1 = e^−a + e^−b + e^−(a + b).
    """
    return -torch.logsumexp(torch.stack([-first, -second, -first - second]), 0)


def esmm_losses(click_logit: Tensor, conversion_logit: Tensor, click: Tensor, purchase: Tensor) -> Tensor:
    """Return ESMM's two losses, both over *all* impressions.

    Args:
        click_logit: of P(click), [B].
        conversion_logit: of P(purchase | click), [B]. It has no loss of its own: it learns through the product.
        click: label of every impression, 0 or 1, [B] float.
        purchase: label of every impression, 0 or 1, [B] float.

    Returns:
        Mean cross-entropy of click, and of purchase against P(click) · P(purchase | click), [2].

    Reference: Ma et al. 2018, Entire Space Multi-Task Model, equation 3.
    """
    bce = F.binary_cross_entropy_with_logits
    return torch.stack([bce(click_logit, click), bce(product_logit(click_logit, conversion_logit), purchase)])


class ESMM(nn.Module):
    """Two towers on shared embeddings; what is trained is click and purchase, conversion falls out.

    Emits ``click``, ``purchase`` (train these two, on all impressions) and ``conversion``.

    Args:
        schema: of the table.
        dim: embedding dimension.
        widths: hidden layers of each of the two bodies.
        tower: hidden layers of each of the two towers.

    Reference: Ma et al. 2018, Entire Space Multi-Task Model, figure 2.
    """

    def __init__(self, schema: Schema, dim: int = 8, widths: Sequence[int] = (64,), tower: Sequence[int] = (16,)):
        super().__init__()
        self.encoder = FeatureEncoder(schema, dim)
        self.bodies = Bank(2, self.encoder.width, widths)
        self.towers = Towers([Task("click"), Task("conversion")], self.bodies.width, tower)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return the logits of click, conversion (given a click) and purchase (given an impression)."""
        logits = self.towers(self.bodies(self.encoder(inputs)))
        return {**logits, "purchase": product_logit(logits["click"], logits["conversion"])}

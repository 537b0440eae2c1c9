"""The shop as a marketplace of merchants: the same shoppers and behaviour, an assortment of one's own.

Merchants differ in what they sell, so in what their rows look like and how often they are clicked; how a click
comes about is the same everywhere.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mtl_tutorial.data.marketplace.catalogue import CATEGORIES
from mtl_tutorial.data.marketplace.simulate import Shop


def category_shares(shop: Shop) -> Tensor:
    """Return each category's share of the shop's impressions, [C]."""
    return torch.zeros(CATEGORIES).index_add_(0, shop.items.category, shop.items.popularity)


def assortments(shop: Shop, merchants: int, concentration: float, seed: int = 0) -> Tensor:
    """Draw each merchant's share of impressions by category from a Dirichlet distribution, [merchants, C].

    Args:
        shop: its own shares are the mean of the draws.
        merchants: how many.
        concentration: α; at 100 all merchants sell nearly what the shop sells, at 0.1 a category or two each.
        seed: of the draw.

    Raises:
        ValueError: no merchants, or a concentration that is not positive.

    Reference: Hsu, Qi and Brown 2019, Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification: theirs are shares of classes.
    """
    if merchants < 1 or concentration <= 0:
        raise ValueError(f"merchants={merchants} must be at least 1, concentration={concentration} positive")
    shares = category_shares(shop)
    sold = shares > 0                               # a shop of few items may lack a category
    draw = np.random.default_rng(seed).dirichlet(concentration * shares[sold].double().numpy(), merchants)
    mix = torch.zeros(merchants, CATEGORIES)
    mix[:, sold] = torch.from_numpy(draw).float()
    return mix


def merchant(shop: Shop, assortment: Tensor) -> Shop:
    """Return the shop as one merchant has it: users, items and behaviour of the shop, other items in view.

    Args:
        shop: the whole marketplace.
        assortment: share of the merchant's impressions by category, [C]; within one, items keep their proportions.

    Raises:
        ValueError: shares that are negative or all 0, or a share of a category without items.
    """
    shares = category_shares(shop)
    if (assortment < 0).any() or assortment.sum() <= 0 or (assortment[shares == 0] > 0).any():
        raise ValueError(f"assortment {assortment.tolist()} must be shares of categories with items, not all 0")
    factor = assortment / shares.clamp(min=1e-12)                                       # [C]
    popularity = shop.items.popularity * factor[shop.items.category]
    return replace(shop, items=replace(shop.items, popularity=popularity / popularity.sum()))

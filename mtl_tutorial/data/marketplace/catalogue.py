"""Who shops and what is sold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TASTES = 4          # dimensions of taste
CATEGORIES = 12
BRANDS = 30
AGE_BANDS, CITY_TIERS, MEMBER_LEVELS = 5, 4, 3


@dataclass(frozen=True)
class Users:
    """U users. Taste and budget are hidden; the three profile fields are noisy readings of them."""

    taste: Tensor           # [U, TASTES]
    budget: Tensor          # [U] standard normal
    activity: Tensor        # [U] share of all impressions
    age_band: Tensor        # [U] ids
    city_tier: Tensor       # [U]
    member_level: Tensor    # [U]


@dataclass(frozen=True)
class Items:
    """I items. Taste is hidden; category and brand tell part of it."""

    taste: Tensor           # [I, TASTES]
    category: Tensor        # [I] ids
    brand: Tensor           # [I]
    log_price: Tensor       # [I] natural logarithm of currency units
    quality: Tensor         # [I] standard normal
    popularity: Tensor      # [I] share of all impressions


def _levels(value: Tensor, levels: int) -> Tensor:
    """Cut values into levels of equal size, [N] -> ids [N]."""
    return (value.argsort().argsort() * levels) // len(value)


def make_users(count: int, generator: torch.Generator) -> Users:
    """Draw ``count`` users; a few are very active, most are seldom seen."""
    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    taste, budget = normal(count, TASTES), normal(count)
    activity = (0.8 * normal(count)).exp()
    return Users(taste, budget, activity / activity.sum(),
                 age_band=_levels(taste[:, 0] + 0.7 * normal(count), AGE_BANDS),
                 city_tier=_levels(taste[:, 1] + 0.7 * normal(count), CITY_TIERS),
                 member_level=_levels(budget + 0.7 * normal(count), MEMBER_LEVELS))


def make_items(count: int, generator: torch.Generator) -> Items:
    """Draw ``count`` items around their categories and brands; exposure falls off as a power of the rank."""
    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    category = torch.randint(CATEGORIES, (count,), generator=generator)
    brand = torch.randint(BRANDS, (count,), generator=generator)
    taste = (0.7 * normal(CATEGORIES, TASTES)[category] + 0.4 * normal(BRANDS, TASTES)[brand]
             + 0.6 * normal(count, TASTES))
    popularity = 1 / (torch.randperm(count, generator=generator) + 10.0) ** 0.8
    return Items(taste, category, brand,
                 log_price=4.0 + 0.5 * normal(CATEGORIES)[category] + 0.5 * normal(count),
                 quality=normal(count), popularity=popularity / popularity.sum())

"""How likely a user is to click, cart and buy, and what the user does next.

Every action has a logit that is a sum of a *match* between user and item, of price, quality and position, and of
``noise · ε``. The intent ε is hidden and common to all actions of a row: a user in the mood to buy clicks more
too. That is what makes clicked rows different from other rows even where all features are equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mtl_tutorial.data.marketplace.catalogue import TASTES, Items, Users

ACTIONS = ("click", "cart", "buy", "next_cart", "next_buy")
BASE = {"click": -1.6, "cart": -1.2, "buy": -0.5, "next_cart": -0.7, "next_buy": -1.3}
SCENARIO_CLICK = (-0.2, 0.5, -0.6)      # feed, search, ads: how much oftener or seldomer they are clicked
SPEND_NOISE = 0.3                       # standard deviation of log spend
NODES = 9                               # of the quadrature over ε


@dataclass(frozen=True)
class Tastes:
    """What each action in each scenario looks for: a map of taste per (scenario, action kind)."""

    maps: Tensor            # [S, 3, TASTES, TASTES]; kinds: click, convert, next


def make_tastes(scenarios: int, task_correlation: float, scenario_shift: float,
                generator: torch.Generator) -> Tastes:
    """Draw the maps: kinds correlate by ``task_correlation``, scenarios differ by ``scenario_shift``."""
    def rotation(*shape: int) -> Tensor:
        return torch.linalg.qr(torch.randn(*shape, TASTES, TASTES, generator=generator)).Q

    def blend(first: Tensor, second: Tensor, share: float) -> Tensor:
        return share * first + math.sqrt(1 - share**2) * second

    click = rotation()
    convert = blend(click, rotation(), task_correlation)
    upcoming = blend(convert, rotation(), 0.8)
    common = torch.stack([click, convert, upcoming])                                    # [3, d, d]
    own = rotation(scenarios, 3)                                                        # [S, 3, d, d]
    return Tastes(blend(own, common.expand_as(own), scenario_shift))


def logits_without_intent(users: Users, items: Items, tastes: Tastes, user: Tensor, item: Tensor,
                          scenario: Tensor, position: Tensor) -> dict[str, Tensor]:
    """Return the logit of every action in ACTIONS, [N] each, before ``noise · ε`` is added.

    Args:
        users: the catalogue's users.
        items: the catalogue's items.
        tastes: from :func:`make_tastes`.
        user: of each row, [N].
        item: of each row, [N].
        scenario: of each row, [N].
        position: on the page, 0 … 9, [N].
    """
    sought = torch.einsum("skde,ie->sikd", tastes.maps, items.taste)                    # [S, I, 3, d]
    match = torch.einsum("nkd,nd->nk", sought[scenario, item], users.taste[user])       # [N, 3]
    match = match / math.sqrt(TASTES)
    click, convert, upcoming = match.unbind(-1)
    quality = items.quality[item]
    expensive = items.log_price[item] - 4.0 - 0.7 * users.budget[user]
    offset = torch.tensor(SCENARIO_CLICK)[scenario]
    return {
        "click": BASE["click"] + 1.5 * click + 0.4 * quality + offset - 0.12 * position,
        "cart": BASE["cart"] + 1.5 * convert + 0.3 * quality - 0.6 * expensive,
        "buy": BASE["buy"] + 0.7 * convert - 0.5 * expensive,
        "next_cart": BASE["next_cart"] + 1.2 * upcoming,
        "next_buy": BASE["next_buy"] + 1.5 * upcoming + 0.5 * users.budget[user],
    }


def probabilities(logits: dict[str, Tensor], intent: Tensor | float) -> dict[str, Tensor]:
    """Return the probability of every outcome, given the shift ``noise · ε`` of all logits.

    Returns:
        ``click``, ``cart``, ``purchase`` of an impression [N]; ``conversion`` of a click, had it been made [N];
        ``next_behaviour`` (browse, cart, buy) [N, 3].
    """
    click, cart, buy = ((logits[name] + intent).sigmoid() for name in ("click", "cart", "buy"))
    browse = torch.zeros_like(click)
    following = torch.stack([browse, logits["next_cart"] + intent, logits["next_buy"] + intent], -1)   # [N, 3]
    return {"click": click, "cart": click * cart, "purchase": click * cart * buy, "conversion": cart * buy,
            "next_behaviour": following.softmax(-1)}


def mean_over_intent(logits: dict[str, Tensor], noise: float) -> dict[str, Tensor]:
    """Return the probabilities that a model could at best learn: averaged over the intent that no column shows.

    Gauss–Hermite quadrature with NODES points.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    total: dict[str, Tensor] = {}
    for point, weight in zip(points, weights, strict=True):
        for name, value in probabilities(logits, float(noise * point)).items():
            total[name] = total[name] + weight * value if name in total else weight * value
    return total

"""How likely a user is to click, cart and buy, and what the user does next.

Every action has a logit: a weighted sum of the match between user and item, the item's appeal and the user's bent,
then price, quality and position, then ``noise · ε``. The weights are what tasks share or do not. The intent ε is
hidden and common to all actions of a row: a user in the mood to buy clicks more too. That is what makes clicked
rows different from other rows even where all features are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mtl_tutorial.data.marketplace.catalogue import TASTES, Items, Users

BASE = {"click": -1.6, "cart": -1.2, "buy": -0.5, "next_cart": -0.7, "next_buy": -1.3}
SCENARIO_CLICK = (-0.2, 0.5, -0.6)      # feed, search, ads: how much oftener or seldomer they are clicked
SPEND_NOISE = 0.3                       # standard deviation of log spend
NODES = 9                               # of the quadrature over ε, up to noise 1


KINDS = ("click", "convert", "next")        # kinds of action with weights of their own


def pair_features(users: Users, items: Items, user: Tensor, item: Tensor) -> Tensor:
    """Return what the weights act on: u ⊙ v (the match), v (the item's appeal), u (the user's bent), [N, 3·d]."""
    u, v = users.taste[user], items.taste[item]                                         # [N, d] each
    return torch.cat([u * v, v, u], -1)


def draw_weights(scenarios: int, task_correlation: float, scenario_shift: float,
                 generator: torch.Generator) -> Tensor:
    """Draw the weights of each scenario and kind of action on the pair features, [S, 3 kinds, 3·d], of length 1.

    Args:
        scenarios: S.
        task_correlation: cosine between the common weights of click and convert.
        scenario_shift: share of each scenario's own weights, 0 … 1.
        generator: of the draw.
    """
    size = 3 * TASTES
    directions = torch.linalg.qr(torch.randn(size, 3 + 3 * scenarios, generator=generator)).Q.T
    click, other, third = directions[:3]                                                # orthonormal

    def blend(first: Tensor, second: Tensor, share: float) -> Tensor:
        return share * first + math.sqrt(1 - share**2) * second

    convert = blend(click, other, task_correlation)
    common = torch.stack([click, convert, blend(convert, third, 0.8)])                  # [3, 3d]
    own = directions[3:].unflatten(0, (scenarios, 3))                                   # [S, 3, 3d]
    return blend(own, common.expand_as(own), scenario_shift)


def logits_without_intent(users: Users, items: Items, weights: Tensor, user: Tensor, item: Tensor,
                          scenario: Tensor, position: Tensor) -> dict[str, Tensor]:
    """Return the logit of every action in BASE, [N] each, before ``noise · ε`` is added.

    Args:
        users: the catalogue's users.
        items: the catalogue's items.
        weights: from :func:`draw_weights`.
        user: of each row, [N].
        item: of each row, [N].
        scenario: of each row, [N].
        position: on the page, 0 … 9, [N].
    """
    pairs = pair_features(users, items, user, item)                                     # [N, 3d]
    everywhere = pairs @ weights.flatten(0, 1).T                                        # [N, S·3]
    mine = everywhere.unflatten(-1, weights.shape[:2])[torch.arange(len(user)), scenario]
    click, convert, upcoming = mine.unbind(-1)                                          # [N] each
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


def funnel(logits: dict[str, Tensor], intent: Tensor | float) -> dict[str, Tensor]:
    """Return the probability of every step from click to purchase, given the shift ``noise · ε`` of all logits.

    Returns:
        ``click``, ``cart``, ``purchase`` of an impression [N]; ``conversion`` of a click, had it been made [N].
    """
    click, cart, buy = ((logits[name] + intent).sigmoid() for name in ("click", "cart", "buy"))
    return {"click": click, "cart": click * cart, "purchase": click * cart * buy, "conversion": cart * buy}


def probabilities(logits: dict[str, Tensor], intent: Tensor | float) -> dict[str, Tensor]:
    """Return the probability of every outcome: those of :func:`funnel` and ``next_behaviour``.

    Returns:
        The steps of the funnel, [N] each; ``next_behaviour`` (browse, cart, buy) [N, 3].
    """
    browse = torch.zeros_like(logits["next_cart"])
    following = torch.stack([browse, logits["next_cart"] + intent, logits["next_buy"] + intent], -1)   # [N, 3]
    return {**funnel(logits, intent), "next_behaviour": following.softmax(-1)}


def mean_over_intent(logits: dict[str, Tensor], noise: float,
                     outcomes: Callable[..., dict[str, Tensor]] = probabilities) -> dict[str, Tensor]:
    """Return the probabilities that a model could at best learn: averaged over the intent that no column shows.

    Gauss–Hermite quadrature, exact to 1e-4 for noise 0 … 3; the wider ε, the more points it takes.

    Args:
        logits: of every action, before ``noise · ε`` is added, [N] each.
        noise: standard deviation of the shift.
        outcomes: what is averaged, :func:`probabilities` or :func:`funnel`.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(NODES + round(12 * max(0.0, noise - 1)))
    weights = weights / weights.sum()
    total: dict[str, Tensor] = {}
    for point, weight in zip(points, weights, strict=True):
        for name, value in outcomes(logits, float(noise * point)).items():
            total[name] = total[name] + weight * value if name in total else weight * value
    return total


def draw_funnel(chances: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Draw click, cart and purchase, each of them only where the one before happened, [N] float each.

    Args:
        chances: the probability of every step given all that made it, as :func:`funnel` returns it.
        generator: of the draw.
    """
    drawn: dict[str, Tensor] = {}
    reached = torch.ones_like(chances["click"])
    before = torch.ones_like(reached)
    for name in ("click", "cart", "purchase"):
        chance = chances[name] / before                                     # given that the last step happened
        reached = reached * (torch.rand(len(chance), generator=generator) < chance)
        drawn[name], before = reached, chances[name]
    return drawn

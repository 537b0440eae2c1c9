"""Draw impressions of the simulated shop."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_tutorial.data.marketplace.behaviour import (
    SPEND_NOISE,
    draw_weights,
    logits_without_intent,
    mean_over_intent,
    probabilities,
)
from mtl_tutorial.data.marketplace.catalogue import (
    AGE_BANDS,
    BRANDS,
    CATEGORIES,
    CITY_TIERS,
    MEMBER_LEVELS,
    make_items,
    make_users,
)
from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task

SCENARIOS = ("feed", "search", "ads")
FIELDS = ("user", "item", "category", "brand", "age_band", "city_tier", "member_level", "scenario")
TASKS = {
    "click": Task("click"),
    "cart": Task("cart"),
    "purchase": Task("purchase"),
    "next_behaviour": Task("next_behaviour", "multiclass", 3),      # browse, cart, buy
    "spend": Task("spend", "regression"),                           # log currency units, of purchased rows
}
POSITIONS = 10


def simulate(rows: int = 60_000, *, seed: int = 0, users: int = 500, items: int = 200,
             task_correlation: float = 0.5, scenario_shift: float = 0.3, imbalance: float = 2.0,
             noise: float = 1.0) -> Table:
    """Draw impressions, what came of them, and the probabilities that they were drawn from.

    Args:
        rows: N impressions.
        seed: of everything drawn. The same seed and other dials give the same users and items.
        users: in the shop.
        items: in the shop.
        task_correlation: cosine between the weights behind clicking and behind buying, −1 … 1.
        scenario_shift: how far each scenario's weights lie from the common ones, 0 (equal) … 1 (unrelated).
        imbalance: each scenario has this many times fewer rows than the one before; 1 is even.
        noise: spread of the hidden intent ε on the logits, 0 or more.

    Returns:
        Table with the fields FIELDS, numeric log price, quality and position (standardised), the targets of
        TASKS (spend is masked to purchases), ``groups`` the users, and in ``truth``:

        - ``oracle.<task>``: the probability given every generating variable, the intent ε included. No model
          can do better, and none that does not see ε can reach it.
        - ``bayes.<task>``: given all that a model can learn from the columns: ε averaged over. (User and item
          ids stand for their hidden tastes, as they would with endless data.)
        - ``bayes.conversion``: P(purchase) *had the row been clicked*, for every row, clicked or not;
          ``bayes.conversion_of_clicked``: P(purchase | features, the row was clicked). They differ where
          noise > 0, for those who click are in the mood.

    Raises:
        ValueError: a dial out of its range.
    """
    for name, value, low, high in (("task_correlation", task_correlation, -1, 1),
                                   ("scenario_shift", scenario_shift, 0, 1),
                                   ("imbalance", imbalance, 1, 1000), ("noise", noise, 0, 10)):
        if not low <= value <= high:
            raise ValueError(f"{name}={value} is outside {low} … {high}")
    world, draw = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1_000_003)
    people, goods = make_users(users, world), make_items(items, world)
    weights = draw_weights(len(SCENARIOS), task_correlation, scenario_shift, world)

    user = torch.multinomial(people.activity, rows, replacement=True, generator=draw)              # [N]
    item = torch.multinomial(goods.popularity, rows, replacement=True, generator=draw)             # [N]
    share = imbalance ** -torch.arange(len(SCENARIOS), dtype=torch.float)                          # [S]
    scenario = torch.multinomial(share, rows, replacement=True, generator=draw)                    # [N]
    position = torch.randint(POSITIONS, (rows,), generator=draw)                                   # [N]

    logits = logits_without_intent(people, goods, weights, user, item, scenario, position)
    oracle = probabilities(logits, noise * torch.randn(rows, generator=draw))
    bayes = mean_over_intent(logits, noise)
    spend_mean = goods.log_price[item] + 0.3 * people.budget[user]
    oracle["spend"] = bayes["spend"] = spend_mean
    bayes["conversion_of_clicked"] = bayes["purchase"] / bayes["click"]

    targets = _draw_funnel(oracle, draw)
    targets["next_behaviour"] = torch.multinomial(oracle["next_behaviour"], 1, generator=draw).squeeze(-1)
    targets["spend"] = spend_mean + SPEND_NOISE * torch.randn(rows, generator=draw)
    ids = [user, item, goods.category[item], goods.brand[item],
           people.age_band[user], people.city_tier[user], people.member_level[user], scenario]
    numeric = torch.stack([goods.log_price[item] - 4.0, goods.quality[item], (position - 4.5) / 2.87], -1)
    return Table(
        torch.stack(ids, -1),
        (users, items, CATEGORIES, BRANDS, AGE_BANDS, CITY_TIERS, MEMBER_LEVELS, len(SCENARIOS)),
        numeric, targets=targets, masks={"spend": targets["purchase"] == 1},
        scenario=scenario, scenarios=len(SCENARIOS),
        truth={**{f"oracle.{name}": value for name, value in oracle.items()},
               **{f"bayes.{name}": value for name, value in bayes.items()}},
        groups=user, field_names=FIELDS)


def _draw_funnel(oracle: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Draw click, cart and purchase, each of them only where the one before happened, [N] float each."""
    drawn: dict[str, Tensor] = {}
    reached = torch.ones_like(oracle["click"])
    before = torch.ones_like(reached)
    for name in ("click", "cart", "purchase"):
        chance = oracle[name] / before                                      # given that the last step happened
        reached = reached * (torch.rand(len(chance), generator=generator) < chance)
        drawn[name], before = reached, oracle[name]
    return drawn

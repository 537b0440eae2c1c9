"""Draw impressions of the simulated shop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mtl_tutorial.data.marketplace.behaviour import (
    SPEND_NOISE,
    draw_funnel,
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
    Items,
    Users,
    make_items,
    make_users,
)
from mtl_tutorial.data.marketplace.dials import check_dials
from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task

SCENARIOS = ("feed", "search", "ads")
FIELDS = ("user", "item", "category", "brand", "age_band", "city_tier", "member_level", "scenario")
TASKS = {
    "click": Task("click"),
    "cart": Task("cart"),
    "purchase": Task("purchase"),
    "next_behaviour": Task("next_behaviour", "multiclass", 3),      # browse, cart, buy
    "spend": Task("spend", "regression"),                           # log of spend over LOG_BASKET, if purchased
}
POSITIONS = 10
LOG_BASKET = 4.0        # spend is told as log(spend) − LOG_BASKET, so that its loss starts at the others' scale


@dataclass(frozen=True)
class Shop:
    """Users, items and what drives their behaviour; :meth:`open` draws one, :meth:`impressions` lets it run."""

    users: Users
    items: Items
    weights: Tensor             # [S, 3, 3·d], see behaviour.draw_weights
    imbalance: float
    noise: float

    @classmethod
    def open(cls, *, seed: int = 0, users: int = 500, items: int = 200, task_correlation: float = 0.5,
             scenario_shift: float = 0.3, imbalance: float = 2.0, noise: float = 1.0) -> Shop:
        """Draw a shop. The arguments are those of :func:`simulate`."""
        check_dials(task_correlation=(task_correlation, -1, 1), scenario_shift=(scenario_shift, 0, 1),
                    imbalance=(imbalance, 1, 1000), noise=(noise, 0, 3), users=(users, 1, 2**24),
                    items=(items, 1, 2**24))
        world = torch.Generator().manual_seed(seed)
        return cls(make_users(users, world), make_items(items, world),
                   draw_weights(len(SCENARIOS), task_correlation, scenario_shift, world), imbalance, noise)

    def impressions(self, rows: int, seed: int = 0) -> Table:
        """Draw impressions and what came of them, as :func:`simulate` describes."""
        draw = torch.Generator().manual_seed(seed + 1_000_003)
        user = torch.multinomial(self.users.activity, rows, replacement=True, generator=draw)      # [N]
        item = torch.multinomial(self.items.popularity, rows, replacement=True, generator=draw)    # [N]
        scenario = torch.multinomial(self.scenario_shares, rows, replacement=True, generator=draw)    # [N]
        position = torch.randint(POSITIONS, (rows,), generator=draw)                               # [N]

        logits = logits_without_intent(self.users, self.items, self.weights, user, item, scenario, position)
        oracle = probabilities(logits, self.noise * torch.randn(rows, generator=draw))
        bayes = mean_over_intent(logits, self.noise)
        spend_mean = self.items.log_price[item] - LOG_BASKET + 0.3 * self.users.budget[user]
        oracle["spend"] = bayes["spend"] = spend_mean
        bayes["conversion_of_clicked"] = bayes["purchase"] / bayes["click"]

        targets = draw_funnel(oracle, draw)
        targets["next_behaviour"] = torch.multinomial(oracle["next_behaviour"], 1, generator=draw).squeeze(-1)
        targets["spend"] = spend_mean + SPEND_NOISE * torch.randn(rows, generator=draw)
        return Table(
            **self.features(user, item, scenario, position), targets=targets,
            masks={"spend": targets["purchase"] == 1},
            truth={**{f"oracle.{name}": value for name, value in oracle.items()},
                   **{f"bayes.{name}": value for name, value in bayes.items()}},
            groups=user)

    @property
    def scenario_shares(self) -> Tensor:
        """Each scenario's weight in the shop's traffic, [S]; not scaled to sum to 1."""
        return self.imbalance ** -torch.arange(len(SCENARIOS), dtype=torch.float)

    def features(self, user: Tensor, item: Tensor, scenario: Tensor, position: Tensor) -> dict[str, Any]:
        """Return what the columns of a table show of these rows, by the names of :class:`Table`'s arguments.

        Args:
            user: of each row, [N].
            item: of each row, [N].
            scenario: of each row, [N].
            position: on the page, 0 is the top, [N].

        Returns:
            ``categorical`` [N, 8] with ``cardinalities`` and ``field_names`` FIELDS; ``numeric`` [N, 3]: log price
            less 4, quality, and position (0 … 9 standardised); ``scenario`` [N] and the number of ``scenarios``.
        """
        ids = [user, item, self.items.category[item], self.items.brand[item], self.users.age_band[user],
               self.users.city_tier[user], self.users.member_level[user], scenario]
        numeric = [self.items.log_price[item] - 4.0, self.items.quality[item], (position - 4.5) / 2.87]
        sizes = (len(self.users.budget), len(self.items.quality), CATEGORIES, BRANDS, AGE_BANDS, CITY_TIERS,
                 MEMBER_LEVELS, len(SCENARIOS))
        return {"categorical": torch.stack(ids, -1), "cardinalities": sizes, "field_names": FIELDS,
                "numeric": torch.stack(numeric, -1), "scenario": scenario, "scenarios": len(SCENARIOS)}

    def truth_of_pairs(self, scenario: int = 0) -> dict[str, Tensor]:
        """Return the ``bayes`` probabilities of every user with every item at the top position, [U, I] each.

        ``next_behaviour`` is [U, I, 3].
        """
        count_users, count_items = len(self.users.budget), len(self.items.quality)
        user = torch.arange(count_users).repeat_interleave(count_items)                            # [U·I]
        item = torch.arange(count_items).repeat(count_users)                                       # [U·I]
        here, top = torch.full_like(user, scenario), torch.zeros_like(user)
        logits = logits_without_intent(self.users, self.items, self.weights, user, item, here, top)
        return {name: value.unflatten(0, (count_users, count_items))
                for name, value in mean_over_intent(logits, self.noise).items()}


def simulate(rows: int = 60_000, *, seed: int = 0, users: int = 500, items: int = 200,
             task_correlation: float = 0.5, scenario_shift: float = 0.3, imbalance: float = 2.0,
             noise: float = 1.0) -> Table:
    """Draw a shop's impressions, what came of them, and the probabilities that they were drawn from.

    Args:
        rows: N impressions.
        seed: of everything drawn. The same seed and other dials give the same users and items.
        users: in the shop.
        items: in the shop.
        task_correlation: cosine between the weights behind clicking and behind buying, −1 … 1.
        scenario_shift: how far each scenario's weights lie from the common ones, 0 (equal) … 1 (unrelated).
        imbalance: each scenario has this many times fewer rows than the one before; 1 is even.
        noise: spread of the hidden intent ε on the logits, 0 … 3.

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
    shop = Shop.open(seed=seed, users=users, items=items, task_correlation=task_correlation,
                     scenario_shift=scenario_shift, imbalance=imbalance, noise=noise)
    return shop.impressions(rows, seed)

"""Draw the shop's impressions in the order of time: what users clicked before tells what they want now."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mtl_tutorial.data.marketplace.behaviour import logits_without_intent, mean_over_intent
from mtl_tutorial.data.marketplace.catalogue import BRANDS, CATEGORIES, Items
from mtl_tutorial.data.marketplace.dials import check_dials
from mtl_tutorial.data.marketplace.simulate import POSITIONS, Shop
from mtl_tutorial.data.table import Table

QUIET = 0.3             # share of the time in which a user has no interest in particular


def visits(shop: Shop, rows: int, *, memory: int = 4, stay: float = 0.9, lift: float = 2.0, focus: float = 0.3,
           seed: int = 0) -> Table:
    """Draw impressions of users who come back, with an interest that lasts a while and is then another one.

    Taste stays, interest passes. At each of their rows users have an interest in one category, or in none. From one
    row of theirs to the next it stays with a chance, or is drawn anew (possibly the same), whatever their taste. It
    lifts the clicks on items of its category, and part of what they are shown is from there, for there they look.

    Args:
        shop: from :meth:`Shop.open`; its ``imbalance`` sets the shares of the scenarios.
        rows: N impressions.
        memory: K, how many of the items that the user clicked last are told.
        stay: chance that an interest is not drawn anew, 0 … 1.
        lift: on the click logit of items of the category of interest, 0 … 5.
        focus: share of the impressions drawn from the category of interest, while there is one, 0 … 0.9.
        seed: of everything drawn.

    Returns:
        Table whose rows stand in the order of time, with the target ``click``, ``groups`` the users, and more
        fields than :meth:`Shop.impressions`, each K times, the latest click first: ``last_<k>`` the item clicked,
        ``last_<k>_category``, ``last_<k>_brand``. Their ids start at 1; 0 is none. After the three numeric features
        stands the logarithm of each click's age, K times; the age is 1 at the user's next row, and where there was
        no click it counts from the row before the user's first. All of it is known before the row. In ``truth``:

        - ``oracle.click`` [N]: given interest and intent ε. No model can do better.
        - ``bayes.click`` [N]: given the user's and the item's hidden taste, the row's columns, and all of the
          user's earlier rows and clicks: averaged over ε and over the interest given all that.
        - ``bayes.interest`` [N, 1 + C]: P(interest | those rows, and what this one shows), exact; 0 is none, 1 + c
          category c. ``oracle.interest`` [N]: which it was.

    Raises:
        ValueError: a dial out of its range.

    Reference: Rabiner 1989, A Tutorial on Hidden Markov Models and Selected Applications in Speech Recognition,
    equations 19–21 (the forward recursion, here normalised at each row).
    """
    check_dials(rows=(rows, 1, 2**24), memory=(memory, 1, 100), stay=(stay, 0, 1), lift=(lift, 0, 5),
                focus=(focus, 0, 0.9))
    draw = torch.Generator().manual_seed(seed + 3_000_017)
    user = torch.multinomial(shop.users.activity, rows, replacement=True, generator=draw)           # [N]
    scenario = torch.multinomial(shop.scenario_shares, rows, replacement=True, generator=draw)      # [N]
    position = torch.randint(POSITIONS, (rows,), generator=draw)                                    # [N]
    prior = interest_prior(shop.items)                                                              # [1 + C]
    interest = draw_interest(user, prior, stay, draw)                                               # [N]
    item = _shown(shop.items, interest, focus, draw)                                                # [N]

    category = shop.items.category[item]
    logits = logits_without_intent(shop.users, shop.items, shop.weights, user, item, scenario, position)
    plain, lifted = {"click": logits["click"]}, {"click": logits["click"] + lift}
    wanted = interest == 1 + category                                                               # [N]
    intent = shop.noise * torch.randn(rows, generator=draw)
    oracle = _click(plain, intent + lift * wanted)["click"]
    click = (torch.rand(rows, generator=draw) < oracle).float()

    of_interest = one_hot(1 + category, 1 + CATEGORIES).bool()                  # [N, 1 + C]
    mean = [mean_over_intent(case, shop.noise, _click)["click"].unsqueeze(-1) for case in (plain, lifted)]
    chance = torch.where(of_interest, mean[1], mean[0])                                             # [N, 1 + C]
    belief = interest_belief(user, shown_ratio(shop.items, item, focus), chance, click, prior, stay)

    columns = shop.features(user, item, scenario, position)
    last, age = last_clicks(user, click, memory)                                                    # [N, K] each
    told = [torch.where(last < 0, 0, 1 + ids[item][last])                                           # [N, K] each
            for ids in (torch.arange(len(shop.items.quality)), shop.items.category, shop.items.brand)]
    columns["categorical"] = torch.cat([columns["categorical"], *told], -1)                         # [N, 8 + 3·K]
    for suffix, size in (("", len(shop.items.quality)), ("_category", CATEGORIES), ("_brand", BRANDS)):
        columns["cardinalities"] += (1 + size,) * memory
        columns["field_names"] += tuple(f"last_{k}{suffix}" for k in range(1, memory + 1))
    columns["numeric"] = torch.cat([columns["numeric"], age.log()], -1)                             # [N, 3 + K]
    truth = {"oracle.click": oracle, "oracle.interest": interest,
             "bayes.click": (belief * chance).sum(-1), "bayes.interest": belief}
    return Table(**columns, targets={"click": click}, truth=truth, groups=user)


def interest_prior(items: Items) -> Tensor:
    """Return P(interest drawn anew), [1 + C]: QUIET for none, the rest even over the categories that are sold."""
    sold = (items.category[items.popularity > 0].bincount(minlength=CATEGORIES) > 0).float()        # [C]
    return torch.cat([torch.tensor([QUIET]), (1 - QUIET) * sold / sold.sum()])


def draw_interest(user: Tensor, prior: Tensor, stay: float, generator: torch.Generator) -> Tensor:
    """Draw each row's interest, [N]: at a user's first row from the prior, then kept or drawn anew.

    Args:
        user: of each row in the order of time, [N].
        prior: of what is drawn, [1 + C].
        stay: chance that the user's last interest is kept.
        generator: of the draw.
    """
    fresh = torch.multinomial(prior, len(user), replacement=True, generator=generator)              # [N]
    order, step = own_rows(user)                                                                    # user by user
    anew = (torch.rand(len(user), generator=generator) >= stay) | (step == 0)                       # [N]
    place = torch.arange(len(user))
    drawn_at = torch.where(anew[order], place, 0).cummax(0).values                                  # [N]
    interest = torch.empty_like(fresh)
    interest[order] = fresh[order][drawn_at]
    return interest


def own_rows(user: Tensor) -> tuple[Tensor, Tensor]:
    """Return the order that brings each user's rows together, [N], and how many rows each row's user had before it.

    Args:
        user: of each row in the order of time, [N].
    """
    order = user.argsort(stable=True)                                                               # [N]
    count = user.bincount()
    start = count.cumsum(0) - count                                                                 # [U]
    step = torch.empty_like(user)
    step[order] = torch.arange(len(user)) - start[user[order]]
    return order, step


def last_clicks(user: Tensor, click: Tensor, memory: int) -> tuple[Tensor, Tensor]:
    """Find the rows of each user's last clicks before each row.

    Args:
        user: of each row in the order of time, [N].
        click: 1 where the row was clicked, [N].
        memory: K.

    Returns:
        The rows, the latest first, −1 where there is none, [N, K] int64; and their age in rows of the same user,
        [N, K] float, 1 at the next row, counted from before the first row where there is none.
    """
    order, step = own_rows(user)
    clicked = order[click[order] > 0]                                                               # [M], by user
    before = click[order].long().cumsum(0) - click[order].long()                                    # [N], in all
    place = before.unsqueeze(-1) - 1 - torch.arange(memory)                                         # [N, K]
    padded = torch.cat([clicked, clicked.new_full((1,), -1)])                                       # [-1] is no row
    row = padded[place.clamp(min=-1)]
    mine = (place >= 0) & (user[row] == user[order].unsqueeze(-1))                                  # [N, K]
    last, age = torch.empty_like(row), torch.empty(row.shape)
    last[order] = row.where(mine, -1)
    age[order] = (step[order].unsqueeze(-1) - step[row].where(mine, -1)).float()
    return last, age


def shown_ratio(items: Items, item: Tensor, focus: float) -> Tensor:
    """Return by how much likelier each item is shown given each interest than by popularity alone, [N, 1 + C].

    Args:
        items: the catalogue's items.
        item: of each row, [N].
        focus: share of the impressions that come from the category of interest.
    """
    share = torch.zeros(CATEGORIES).index_add_(0, items.category, items.popularity)                 # [C]
    category = items.category[item]
    ratio = torch.full((len(item), 1 + CATEGORIES), 1 - focus)
    ratio[:, 0] = 1.0
    ratio[torch.arange(len(item)), 1 + category] += focus / share[category]
    return ratio


def interest_belief(user: Tensor, shown: Tensor, chance: Tensor, click: Tensor, prior: Tensor,
                    stay: float) -> Tensor:
    """Filter the interest: P(interest at a row | the user's rows and clicks before it, and what this one shows).

    One step for all users at once: their first rows, then their second ones, and so on.

    Args:
        user: of each row in the order of time, [N].
        shown: the row's item given each interest, up to a factor, [N, 1 + C].
        chance: of a click given each interest, [N, 1 + C].
        click: what came of it, [N].
        prior: P(interest drawn anew), [1 + C].
        stay: chance that an interest is kept.

    Returns:
        [N, 1 + C], each row summing to 1.
    """
    seen = torch.where(click.unsqueeze(-1) > 0, chance, 1 - chance)                                 # [N, 1 + C]
    _, step = own_rows(user)
    expected = prior.repeat(int(user.max()) + 1, 1)                                                 # [U, 1 + C]
    belief = torch.empty_like(chance)
    for rows in step.argsort(stable=True).split(step.bincount().tolist()):                          # one per user
        now = expected[user[rows]] * shown[rows]
        belief[rows] = now = now / now.sum(-1, keepdim=True)
        after = now * seen[rows]
        expected[user[rows]] = stay * after / after.sum(-1, keepdim=True) + (1 - stay) * prior
    return belief


def _shown(items: Items, interest: Tensor, focus: float, generator: torch.Generator) -> Tensor:
    """Draw the item of each row, [N]: from the category of interest at times, by popularity else."""
    category = one_hot(items.category, CATEGORIES)                                                  # [I, C]
    weight = items.popularity.double() * torch.cat([torch.ones_like(category[:, :1]), category], -1).T
    share = weight.cumsum(-1) / weight.sum(-1, keepdim=True)                                        # [1 + C, I]
    looks = torch.rand(len(interest), generator=generator) < focus                                  # [N]
    source = interest * looks                                                                       # [N], 0 is all
    ends = (share.nan_to_num() + torch.arange(1 + CATEGORIES).unsqueeze(-1)).flatten()              # side by side
    dart = source + torch.rand(len(interest), generator=generator, dtype=torch.double)
    return torch.searchsorted(ends, dart, right=True) - source * len(items.popularity)


def _click(logits: dict[str, Tensor], intent: Tensor | float) -> dict[str, Tensor]:
    """Return the probability of a click alone."""
    return {"click": (logits["click"] + intent).sigmoid()}

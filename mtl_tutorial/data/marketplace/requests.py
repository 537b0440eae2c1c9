"""Draw pages of the simulated shop: what feed, search and ads show a user, and what came of it."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_tutorial.data.marketplace.behaviour import draw_funnel, funnel, logits_without_intent, mean_over_intent
from mtl_tutorial.data.marketplace.catalogue import CATEGORIES, Items
from mtl_tutorial.data.marketplace.dials import check_dials
from mtl_tutorial.data.marketplace.queries import MEANING, NO_QUERY, SPOKEN, WORDS, posterior, wanted
from mtl_tutorial.data.marketplace.simulate import SCENARIOS, Shop
from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task

REQUEST_TASKS = {
    "click": Task("click"),
    "cart": Task("cart"),
    "purchase": Task("purchase"),
    "intent": Task("intent", "multiclass", CATEGORIES),             # the wanted category
}
SEARCH = SCENARIOS.index("search")
RETRIEVAL = 40.0        # a category that a word always means is shown 1 + RETRIEVAL times as readily
HIT = {"click": 1.2, "cart": 0.5}           # on a logit where a search shows what is wanted
MISS = {"click": -0.8, "cart": -0.3}        # where it shows something else
CELLS = 2**21           # of the lottery (requests · items) that are in memory at once


def requests(shop: Shop, count: int, *, length: int = 8, seed: int = 0, labelled: float = 0.2,
             match: float = 1.0) -> Table:
    """Draw pages, each of one user in one scenario, and what came of every item on them.

    A request is a page of ``length`` different items at the positions 0 … length − 1. Its user wants one category
    (see ``queries``). In search a query is typed for it; the page then holds mostly items of the categories that
    the query may mean, and items of the wanted one are clicked and carted more. Feed and ads show what is popular.

    Args:
        shop: from :meth:`Shop.open`; its ``imbalance`` sets the shares of the scenarios.
        count: number of requests; N = count · length.
        length: items on a page, 1 … the number of items.
        seed: of everything drawn.
        labelled: share of the search requests whose wanted category somebody annotated, 0 … 1.
        match: how much it matters in search that an item is of the wanted category, 0 (nothing) … 3.

    Returns:
        Table with the fields of :func:`simulate` and ``query`` (0 = no query, in feed and ads), its numeric
        features, ``groups`` the requests, for splits and NDCG by page, and the targets of REQUEST_TASKS.
        ``intent`` is the wanted category on every row, but observed (its mask) on the labelled search requests
        alone. In ``truth``:

        - ``oracle.<task>`` of click, cart and purchase [N]: the probability given every generating variable,
          the row's intent ε and the wanted category included. No model can do better.
        - ``bayes.<task>`` [N]: given what the row's columns show: averaged over ε and over the wanted category
          given user and query.
        - ``bayes.intent`` [N, C]: P(wanted category | user, query), exact, for the page depends on the query
          alone; outside search P(wanted category | user). Its arg max is the ceiling of intent accuracy.

    Raises:
        ValueError: a dial out of its range.
    """
    check_dials(count=(count, 1, 2**24), length=(length, 1, len(shop.items.quality)), labelled=(labelled, 0, 1),
                match=(match, 0, 3))
    draw = torch.Generator().manual_seed(seed + 2_000_003)
    user = torch.multinomial(shop.users.activity, count, replacement=True, generator=draw)             # [M]
    scenario = torch.multinomial(shop.scenario_shares, count, replacement=True, generator=draw)        # [M]
    prior = wanted(shop.users, shop.items)[user]                                                       # [M, C]
    want = torch.multinomial(prior, 1, generator=draw).squeeze(-1)                                     # [M]
    word = torch.multinomial(SPOKEN[1:].T[want], 1, generator=draw).squeeze(-1) + 1                    # [M]
    query = word.where(scenario == SEARCH, NO_QUERY)                                                   # [M]
    annotated = (torch.rand(count, generator=draw) < labelled) & (scenario == SEARCH)                  # [M]
    item = retrieve(shop.items, query, length, draw).flatten()                                         # [N]
    position = torch.arange(length).repeat(count)                                                      # [N]
    request = torch.arange(count).repeat_interleave(length)                                            # [N]

    belief = posterior(prior, query)[request]                                                          # [N, C]
    user, scenario, want = user[request], scenario[request], want[request]                             # [N] each
    logits = logits_without_intent(shop.users, shop.items, shop.weights, user, item, scenario, position)
    searching, category = scenario == SEARCH, shop.items.category[item]
    hit = _shift(logits, match * searching, HIT)
    miss = _shift(logits, match * searching, MISS)
    chosen = {name: hit[name].where(category == want, miss[name]) for name in logits}
    oracle = funnel(chosen, shop.noise * torch.randn(len(item), generator=draw))
    if_hit, if_miss = (mean_over_intent(case, shop.noise, funnel) for case in (hit, miss))
    chance = belief.gather(-1, category.unsqueeze(-1)).squeeze(-1)          # [N] that the item is what is wanted

    steps = ("click", "cart", "purchase")
    columns = shop.features(user, item, scenario, position)
    columns["categorical"] = torch.cat([columns["categorical"], query[request].unsqueeze(-1)], -1)     # [N, 9]
    columns["cardinalities"] += (WORDS + 1,)
    columns["field_names"] += ("query",)
    return Table(
        **columns, targets={**draw_funnel(oracle, draw), "intent": want}, masks={"intent": annotated[request]},
        truth={**{f"oracle.{name}": oracle[name] for name in steps},
               **{f"bayes.{name}": if_miss[name].lerp(if_hit[name], chance) for name in steps},
               "bayes.intent": belief},
        groups=request)


def retrieve(items: Items, query: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """Draw the page of each query, [M, length] different items, the first drawn on top.

    Drawing without replacement in proportion to weights is the same as letting every item run a race, its time
    exponential with the weight as rate, and taking the first home (Gumbel top-k): one sort for all pages at once.

    Args:
        items: the catalogue's items.
        query: of each page, [M].
        length: of a page.
        generator: of the draw.

    Reference: Efraimidis and Spirakis 2006, Weighted random sampling with a reservoir.
    """
    weight = items.popularity * (1 + RETRIEVAL * MEANING[:, items.category])                # [WORDS + 1, I]
    pages = []
    for part in query.split(max(1, CELLS // len(items.quality))):
        time = torch.empty(len(part), len(items.quality)).exponential_(generator=generator)
        pages.append((weight[part] / time).topk(length).indices)                            # the fastest first
    return torch.cat(pages)


def grades(table: Table) -> Tensor:
    """Return the relevance of each row for NDCG, [N]: 0 nothing, 1 click, 2 cart, 3 purchase."""
    return table.targets["click"] + table.targets["cart"] + table.targets["purchase"]


def _shift(logits: dict[str, Tensor], strength: Tensor, effect: dict[str, float]) -> dict[str, Tensor]:
    """Add each action's effect, times the strength [N] of the row, to its logits."""
    return {name: value + strength * effect.get(name, 0.0) for name, value in logits.items()}

"""The simulated shop: users, items and a funnel whose true probabilities are known.

``simulate`` is the entry for rows that stand alone, or ``Shop`` where the shop itself is wanted; ``requests`` draws
whole pages, with a query in search; ``visits`` draws users who come back, row after row. ``catalogue`` makes users
and items, ``behaviour`` says how likely each action is, ``queries`` what users look for and how they say it.
"""

from mtl_tutorial.data.marketplace.requests import REQUEST_TASKS, grades, requests
from mtl_tutorial.data.marketplace.simulate import SCENARIOS, TASKS, Shop, simulate
from mtl_tutorial.data.marketplace.visits import visits

__all__ = ["REQUEST_TASKS", "SCENARIOS", "TASKS", "Shop", "grades", "requests", "simulate", "visits"]

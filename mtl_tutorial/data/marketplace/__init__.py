"""The simulated shop: users, items and a funnel whose true probabilities are known.

``simulate`` is the entry, or ``Shop`` where the shop itself is wanted; ``catalogue`` makes users and items,
``behaviour`` says how likely each action is.
"""

from mtl_tutorial.data.marketplace.simulate import SCENARIOS, TASKS, Shop, simulate

__all__ = ["SCENARIOS", "TASKS", "Shop", "simulate"]

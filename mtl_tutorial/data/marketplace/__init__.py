"""The simulated shop: users, items and a funnel whose true probabilities are known.

``simulate`` is the entry; ``catalogue`` makes users and items, ``behaviour`` says how likely each action is.
"""

from mtl_tutorial.data.marketplace.simulate import SCENARIOS, TASKS, simulate

__all__ = ["SCENARIOS", "TASKS", "simulate"]

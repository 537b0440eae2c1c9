"""What a user looks for, the word typed for it, and what the word tells of it.

The *wanted category* c of a request depends on the user, the word q on the category alone:
P(c | user, q) ∝ P(c | user) · P(q | c). Most words are used for several categories, so neither the user nor the
word settles what is wanted; together they tell more. (The wanted category is what the trade calls query intent. It
has nothing to do with the hidden intent ε of ``behaviour``, a mood that no query tells of.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_tutorial.data.marketplace.catalogue import CATEGORIES, Items, Users

NO_QUERY = 0                # the id of feed and ads; words are 1 … WORDS
SHARPNESS = 1.5             # of the wish: how surely users want what matches their taste
MEANINGS = (                # one word per category of each kind: (its share in the queries, use → share of use)
    (0.2, {0: 1.0}),                            # clear: the category itself
    (0.4, {0: 0.55, 5: 0.45}),                  # two meanings: the category and the fifth after it
    (0.4, {0: 0.4, 3: 0.35, 7: 0.25}),          # three
)
WORDS = CATEGORIES * len(MEANINGS)


def _meanings() -> tuple[Tensor, Tensor]:
    """Lay out MEANINGS as [WORDS + 1, C] each: P(category | word) if all are wanted alike, P(word | category)."""
    category = torch.arange(CATEGORIES)
    meaning = torch.zeros(WORDS + 1, CATEGORIES)
    frequency = torch.zeros(WORDS + 1, 1)
    for kind, (share, uses) in enumerate(MEANINGS):
        word = 1 + CATEGORIES * kind + category
        frequency[word] = share
        for step, use in uses.items():
            meaning[word, (category + step) % CATEGORIES] = use
    spoken = meaning * frequency
    spoken[NO_QUERY] = 1.0                      # outside search no word is typed, whatever is wanted
    return meaning, spoken


MEANING, SPOKEN = _meanings()


def wanted(users: Users, items: Items) -> Tensor:
    """Return P(wanted category | user), [U, C]: the softmax of the match between user and category.

    A category's taste is the mean over its items; one without items is never wanted.
    """
    count = items.category.bincount(minlength=CATEGORIES)                               # [C]
    total = torch.zeros(CATEGORIES, items.taste.shape[1]).index_add_(0, items.category, items.taste)
    centre = total / count.clamp(min=1).unsqueeze(-1)                                   # [C, TASTES]
    match = SHARPNESS * users.taste @ centre.T                                          # [U, C]
    return match.masked_fill(count == 0, -torch.inf).softmax(-1)


def posterior(prior: Tensor, query: Tensor) -> Tensor:
    """Return P(wanted category | user, query), [N, C], by Bayes' rule.

    Args:
        prior: P(wanted category | user) of each row, [N, C]; ``activity @ wanted(...)``, [C], for what the query
            tells of somebody unknown.
        query: of each row, [N]; NO_QUERY leaves the prior as it is.
    """
    joint = prior * SPOKEN[query]                                                       # [N, C]
    return joint / joint.sum(-1, keepdim=True)

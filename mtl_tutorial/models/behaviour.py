"""Next behaviour, items to recommend and the user's profile, from shared user and item embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs

BEHAVIOURS = ("browse", "cart", "buy")


class BehaviourModel(nn.Module):
    """Three heads on shared embeddings.

    Emits ``behaviour`` [B, 3] of a (user, item) pair, ``item`` [B, I] (which item the user turns to; the logits
    are the recommendation scores) and ``profile`` [B, P] of the user.

    Args:
        users: number of users.
        items: I.
        profiles: P classes of user.
        dim: of the embeddings.
        hidden: width of the behaviour head's hidden layer.
    """

    def __init__(self, users: int, items: int, profiles: int, dim: int, hidden: int):
        super().__init__()
        self.user, self.item = nn.Embedding(users, dim), nn.Embedding(items, dim)
        nn.init.normal_(self.user.weight, std=0.1)
        nn.init.normal_(self.item.weight, std=0.1)
        self.item_bias = nn.Parameter(torch.zeros(items))
        self.behaviour = nn.Sequential(nn.Linear(3 * dim, hidden), nn.ReLU(), nn.Linear(hidden, len(BEHAVIOURS)))
        self.profile = nn.Linear(dim, profiles)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Map ids [B, 2] (user, item) to the three heads' logits."""
        user, item = self.user(inputs.categorical[:, 0]), self.item(inputs.categorical[:, 1])   # [B, d] each
        pair = torch.cat([user, item, user * item], -1)                                         # [B, 3d]
        return {"behaviour": self.behaviour(pair), "item": self.scores(user), "profile": self.profile(user)}

    def scores(self, user: Tensor) -> Tensor:
        """Return the recommendation scores [B, I] of embedded users [B, d]."""
        return user @ self.item.weight.T + self.item_bias

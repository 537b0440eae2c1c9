"""The experts of one recommendation: each judges a click by one source of knowledge alone.

All of them know where the item stands, the scenario and the position; what else they see is what tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from mtl_tutorial.data.table import Inputs, Schema, Table
from mtl_tutorial.layers.features import FeatureEncoder, FusedEmbedding
from mtl_tutorial.layers.task_mlp import TaskMLP

PROFILE = ("age_band", "city_tier", "member_level")
CONTENT = ("category", "brand", *PROFILE)
PRICE, QUALITY, POSITION, FIRST_AGE = range(4)          # places of the shop's numeric features


class Fields(nn.Module):
    """A click logit from some of a table's columns by a small network.

    Args:
        table: with the fields; its rows are not looked at.
        fields: names of the categorical columns.
        numeric: places of the numeric ones.
        dim: numbers per embedded id.
        widths: of the hidden layers.
    """

    def __init__(self, table: Table, fields: Sequence[str], numeric: Sequence[int], dim: int = 8,
                 widths: Sequence[int] = (32,)):
        super().__init__()
        self.fields, self.numeric = places(table, fields), list(numeric)
        self.encoder = FeatureEncoder(Schema(sizes(table, self.fields), len(self.numeric), 1), dim)
        self.network = TaskMLP(self.encoder.width, widths, 1)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return logits, [B]."""
        own = Inputs(inputs.categorical[:, self.fields], inputs.numeric[:, self.numeric], inputs.scenario)
        return self.network(self.encoder(own)).squeeze(-1)


class Place(nn.Module):
    """What the place alone is worth: an intercept for each scenario, and a slope in the position."""

    def __init__(self, scenarios: int):
        super().__init__()
        self.intercept = nn.Parameter(torch.zeros(scenarios))
        self.slope = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Inputs) -> Tensor:
        """Return logits, [B]."""
        return self.intercept[inputs.scenario] + self.slope * inputs.numeric[:, POSITION]


class Collaborative(nn.Module):
    """A click logit from ids alone: b_s + b_u + b_i + ⟨u, v⟩. Items are alike that the same users click.

    Args:
        table: with the fields ``user`` and ``item``.
        dim: of the users' and items' vectors.

    Reference: Koren, Bell and Volinsky 2009, Matrix Factorization Techniques for Recommender Systems, equation 4.
    """

    def __init__(self, table: Table, dim: int = 8):
        super().__init__()
        self.pair = places(table, ("user", "item"))
        self.vectors = FusedEmbedding(sizes(table, self.pair), 1 + dim)
        self.place = Place(table.scenarios)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return logits, [B]."""
        user, item = self.vectors(inputs.categorical[:, self.pair]).unbind(1)           # [B, 1 + d] each
        return self.place(inputs) + user[:, 0] + item[:, 0] + (user[:, 1:] * item[:, 1:]).sum(-1)


class LastClicks(nn.Module):
    """A click logit from what the user clicked last: how like the item's category and brand are to those, by age.

    logit = place + bias of category and brand + Σ_k exp(−ρ·age_k) Σ_f ⟨e_f(last_k), e_f(item)⟩ + a · log age. The
    older a click, the less its likeness counts; the ages themselves tell how readily the user clicks.

    Args:
        table: of :func:`~mtl_tutorial.data.marketplace.visits.visits`.
        dim: numbers per embedded category or brand.

    Reference: Hidasi et al. 2016, Session-based Recommendations with Recurrent Neural Networks, for the question;
    this model has no recurrence, it weighs the last clicks by age as time-decayed neighbour methods do.
    """

    def __init__(self, table: Table, dim: int = 8):
        super().__init__()
        self.item = places(table, ("category", "brand"))
        self.memory = sum(name.startswith("last_") and name.endswith("_brand") for name in table.field_names)
        self.last = [places(table, (f"last_{k}_category", f"last_{k}_brand")) for k in range(1, self.memory + 1)]
        self.vectors = FusedEmbedding(sizes(table, self.last[0]), 1 + dim)      # 0 is none, so ids start at 1
        self.place = Place(table.scenarios)
        self.fading = nn.Parameter(torch.tensor(-2.0))                          # ρ = softplus of it
        self.recency = nn.Linear(self.memory, 1)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return logits, [B]."""
        log_age = inputs.numeric[:, FIRST_AGE:FIRST_AGE + self.memory]                  # [B, K]
        last = inputs.categorical[:, self.last]                                         # [B, K, 2]
        item = self.vectors(1 + inputs.categorical[:, self.item])                       # [B, 2, 1 + d]
        alike = (self.vectors(last)[..., 1:] * item[:, None, :, 1:]).sum((-1, -2))      # [B, K]
        weight = (-softplus(self.fading) * log_age.exp()).exp() * (last[..., 0] > 0)    # [B, K]
        return (self.place(inputs) + item[..., 0].sum(-1) + (weight * alike).sum(-1)
                + self.recency(log_age).squeeze(-1))


class Panel(nn.Module):
    """Experts that share nothing, side by side: each is a task of its own, so one training trains them all.

    Every expert's gradient is that of its own loss alone, and Adam works element by element: each learns exactly as
    it would by itself.

    Args:
        experts: name -> a module from ``Inputs`` to logits [B].
    """

    def __init__(self, experts: Mapping[str, nn.Module]):
        super().__init__()
        self.experts = nn.ModuleDict(experts)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return name -> logits, [B] each."""
        return {name: expert(inputs) for name, expert in self.experts.items()}


class Together(nn.Module):
    """The same experts as one model: a click logit that is the sum of theirs, trained on one loss.

    Args:
        experts: name -> a module from ``Inputs`` to logits [B].
    """

    def __init__(self, experts: Mapping[str, nn.Module]):
        super().__init__()
        self.experts = nn.ModuleDict(experts)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return logits, [B]."""
        return torch.stack([expert(inputs) for expert in self.experts.values()]).sum(0)


def four_experts(table: Table, dim: int = 8) -> dict[str, nn.Module]:
    """Build the experts of a recommendation: the user's profile, the item's ids, its content, the last clicks.

    Args:
        table: of :func:`~mtl_tutorial.data.marketplace.visits.visits`; its rows are not looked at.
        dim: numbers per embedded id.

    Returns:
        ``profile`` (what kind of user), ``item`` (who clicked what, by ids alone), ``content`` (what kind of item
        for what kind of user) and ``sequence`` (what was clicked last).
    """
    return {"profile": Fields(table, (*PROFILE, "scenario"), (POSITION,), dim),
            "item": Collaborative(table, dim),
            "content": Fields(table, (*CONTENT, "scenario"), (PRICE, QUALITY, POSITION), dim),
            "sequence": LastClicks(table, dim)}


def places(table: Table, names: Sequence[str]) -> list[int]:
    """Return where these fields stand among the table's categorical ones.

    Raises:
        ValueError: a field that the table does not have.
    """
    missing = [name for name in names if name not in table.field_names]
    if missing:
        raise ValueError(f"no field {missing[0]!r}: an expert needs it, but the table has "
                         f"{', '.join(table.field_names)}")
    return [table.field_names.index(name) for name in names]


def sizes(table: Table, fields: Sequence[int]) -> tuple[int, ...]:
    """Return the vocabulary sizes of the fields at these places."""
    return tuple(table.cardinalities[place] for place in fields)

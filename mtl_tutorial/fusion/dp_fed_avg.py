"""DP-FedAvg: no single client can be told from the common weights, for a price in accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mtl_tutorial.fusion.fed_avg import FedAvg
from mtl_tutorial.models.stacked import Stacked


def clipped(updates: Mapping[str, Tensor], clip: float) -> dict[str, Tensor]:
    """Shorten each client's update to at most ``clip`` in the Euclidean norm over all of its weights.

    Args:
        updates: name -> what the clients' training changed, [G, C, …].
        clip: the largest norm allowed.

    Raises:
        ValueError: ``clip`` is not positive, or an update is not finite.
    """
    if clip <= 0:
        raise ValueError(f"clip={clip} must be positive")
    norm = sum(value.flatten(2).square().sum(-1) for value in updates.values()).sqrt()      # [G, C]
    if not norm.isfinite().all():
        raise ValueError("an update is not finite: lower the clients' learning rate")
    factor = clip / norm.clamp(min=clip)
    return {name: value * factor.reshape(factor.shape + (1,) * (value.dim() - 2))
            for name, value in updates.items()}


class DPFedAvg(FedAvg):
    """FedAvg with clipped updates, equal weights and Gaussian noise: w ← w + (Σ_c clip(Δ_c) + N(0, (σ S)²)) / C.

    All clients take part in every round, and C is public, so that adding or removing one client (its update becomes
    0) moves the sum by at most S: what :mod:`~mtl_tutorial.fusion.privacy` counts on. *Replacing* one moves it by
    up to 2 S: give the account half the noise multiplier. Rows do not weigh: their numbers would tell of clients,
    and one client could count for all.

    Args:
        model: as for :class:`FedAvg`.
        clip: S, the largest norm of a client's update.
        noise: σ, the noise's standard deviation in units of S; one for all groups, or one for each.
        settings: those of :class:`FedAvg`, ``per_round`` apart.

    Raises:
        ValueError: ``clip`` is not positive, ``noise`` negative, ``per_round`` given; and as :class:`FedAvg`.

    Reference: McMahan et al. 2018, Learning Differentially Private Recurrent Language Models, algorithm 1, with
    full participation and equal weights (the fixed-denominator estimator).
    """

    def __init__(self, model: Stacked, *, clip: float, noise: float | Sequence[float], **settings):
        super().__init__(model, **settings)
        if clip <= 0:
            raise ValueError(f"clip={clip} must be positive")
        spread = torch.as_tensor(noise, dtype=torch.float64).expand(model.repeats)              # [G]
        if not (spread >= 0).all():
            raise ValueError(f"noise={noise} must not be negative")
        if self.per_round is not None:
            raise ValueError("per_round: the account is one of full participation; leave it out")
        self.clip, self.noise = clip, spread

    def _aggregate(self, trained: Mapping[str, Tensor], rows: Tensor,
                   generator: torch.Generator) -> dict[str, Tensor]:
        """Add the mean of the clipped updates, and noise, to the weights that were sent."""
        sent = {name: value.detach() for name, value in self.model.named_weights.items()}       # [G, …] each
        updates = clipped({name: value - sent[name].unsqueeze(1) for name, value in trained.items()}, self.clip)
        moved = {}
        for name, value in sent.items():
            drawn = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            spread = (self.noise * self.clip).to(value.dtype).reshape(-1, *[1] * (value.dim() - 1))
            moved[name] = value + (updates[name].sum(1) + (spread * drawn).to(value.device)) / rows.shape[1]
        return moved

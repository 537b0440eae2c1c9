"""Partitioned normalisation: batch normalisation in which every scenario keeps to its own statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def moments_by_scenario(x: Tensor, scenario: Tensor, scenarios: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return how many rows each scenario has, and their mean and variance.

    Args:
        x: [B, H].
        scenario: of each row, [B] int64.
        scenarios: S.

    Returns:
        Rows [S] int64, mean [S, H], and variance [S, H] (divided by the number of rows, as batch normalisation
        does). Zero where a scenario has no row.
    """
    is_member = scenario.unsqueeze(-1) == torch.arange(scenarios, device=x.device)      # [B, S]
    rows = is_member.sum(0)                                                             # [S]
    average = (is_member.to(x.dtype) / rows.clamp(min=1)).T                             # [S, B]
    mean = average @ x                                                                  # [S, H]
    variance = average @ (x - mean[scenario]).square()                                  # [S, H]
    return rows, mean, variance


def normalise(x: Tensor, scenario: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Return (x − μ) / √(σ² + ε), [B, H], with the mean and variance [S, H] of each row's scenario [B]."""
    return (x - mean[scenario]) * (variance + eps).rsqrt()[scenario]


def partitioned_normalise(x: Tensor, scenario: Tensor, scenarios: int, eps: float = 1e-5) -> Tensor:
    """Normalise every scenario's rows by the mean and variance of that scenario's rows alone.

    Args:
        x: [B, H].
        scenario: of each row, [B] int64.
        scenarios: S.
        eps: ε, added to the variance.

    Returns:
        [B, H]; within each scenario of two rows or more every column has mean 0 and variance near 1.

    Reference: Sheng et al. 2021, One Model to Serve All (STAR), equation 3, before its scale and shift.
    """
    _, mean, variance = moments_by_scenario(x, scenario, scenarios)
    return normalise(x, scenario, mean, variance, eps)


class PartitionedNorm(nn.Module):
    """Batch normalisation partitioned by scenario, with a shared scale and shift and each scenario's own.

    Emits (γ · γ_s) · (x − μ_s) / √(σ_s² + ε) + (β + β_s). In training μ_s and σ_s² are those of the scenario's
    rows in the batch, in evaluation running averages of them, kept as ``torch.nn.BatchNorm1d`` keeps its own (the
    running variance unbiased); with one scenario the two layers agree.

    Where a scenario has no statistics of its own to go by:

    - One with fewer than two rows in a training batch is normalised by its running statistics, which stay.
    - One without any running statistics is normalised by those of all others together: their mean and variance
      pooled over the rows that went into them. Before any training these are 0 and 1.

    Args:
        scenarios: S.
        width: H.
        eps: ε, added to the variance.
        momentum: weight of the newest batch in the running statistics.

    Reference: Sheng et al. 2021, One Model to Serve All (STAR), equations 3 and 4.
    """

    def __init__(self, scenarios: int, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.scenarios, self.eps, self.momentum = scenarios, eps, momentum
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.own_scale = nn.Parameter(torch.ones(scenarios, width))
        self.own_shift = nn.Parameter(torch.zeros(scenarios, width))
        self.register_buffer("running_mean", torch.zeros(scenarios, width))
        self.register_buffer("running_variance", torch.ones(scenarios, width))
        self.register_buffer("rows_seen", torch.zeros(scenarios, dtype=torch.long))

    def forward(self, x: Tensor, scenario: Tensor) -> Tensor:
        """Normalise rows [B, H] of the scenarios [B], in float32 at least: bfloat16 has too few digits for it."""
        with torch.autocast(x.device.type, enabled=False):
            return self._normalise(x.to(torch.promote_types(x.dtype, torch.float32)), scenario)

    def _normalise(self, x: Tensor, scenario: Tensor) -> Tensor:
        mean, variance = self.running_statistics()                                      # [S, H] each
        if self.training:
            rows, batch_mean, batch_variance = moments_by_scenario(x, scenario, self.scenarios)
            enough = (rows >= 2).unsqueeze(-1)                                          # [S, 1]
            mean = torch.where(enough, batch_mean, mean)
            variance = torch.where(enough, batch_variance, variance)
            self._remember(rows, batch_mean.detach(), batch_variance.detach())
        scale, shift = self.scale * self.own_scale, self.shift + self.own_shift         # [S, H]
        return normalise(x, scenario, mean, variance, self.eps) * scale[scenario] + shift[scenario]

    def running_statistics(self) -> tuple[Tensor, Tensor]:
        """Return the mean and variance [S, H] that rows are normalised by in evaluation."""
        rows = self.rows_seen.to(self.running_mean.dtype)                               # [S]
        share = rows / rows.sum().clamp(min=1)
        pooled_mean = share @ self.running_mean                                         # [H]
        within_and_between = self.running_variance + (self.running_mean - pooled_mean).square()
        pooled_variance = torch.where(rows.sum() > 0, share @ within_and_between, 1.0)  # [H]
        seen = (rows > 0).unsqueeze(-1)                                                 # [S, 1]
        return (torch.where(seen, self.running_mean, pooled_mean),
                torch.where(seen, self.running_variance, pooled_variance))

    @torch.no_grad()
    def _remember(self, rows: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics of every scenario with two rows or more towards the batch's.

        In place, so that under vmap every repeat keeps its own.
        """
        enough = (rows >= 2).unsqueeze(-1)                                              # [S, 1]
        unbiased = variance * rows.unsqueeze(-1) / (rows - 1).clamp(min=1).unsqueeze(-1)    # [S, H]
        for running, batch in ((self.running_mean, mean), (self.running_variance, unbiased)):
            running.copy_(torch.where(enough, running.lerp(batch, self.momentum), running))
        self.rows_seen.add_(torch.where(rows >= 2, rows, 0))

"""Importance weights: source rows count as often as the target would show them."""

from __future__ import annotations

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor


def density_ratio(source: Tensor, target: Tensor, regularization: float = 1.0) -> Tensor:
    """Estimate p_T(x) / p_S(x) of each source row, scaled to the mean 1, [N].

    A logistic regression tells the domains apart; its odds are the ratio, up to the shares of rows.

    Args:
        source: features, [N, d].
        target: features, [M, d].
        regularization: inverse strength of the regression's L2 penalty.

    Reference: Bickel, Brückner and Scheffer 2009, Discriminative Learning Under Covariate Shift, section 5.
    """
    rows = torch.cat([source, target])
    scaled = (rows - rows.mean(0)) / rows.std(0).clamp(min=torch.finfo(rows.dtype).eps)
    judge = LogisticRegression(C=regularization, max_iter=1000)
    judge.fit(scaled.cpu().numpy(), (torch.arange(len(rows)) >= len(source)).numpy())
    odds = torch.as_tensor(judge.decision_function(scaled[:len(source)].cpu().numpy())).softmax(0)      # e^logit
    return (len(source) * odds).to(source)


def effective_rows(weights: Tensor) -> float:
    """Return (Σ w)² / Σ w²: how many rows of equal weight tell as much as these, [N] -> at most N."""
    return (weights.sum().square() / weights.square().sum()).item()

"""Which source to start from, and how far two domains are apart, without training any candidate."""

from __future__ import annotations

import math

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import Tensor

QUIETEST = 1e-6                                 # the least share of the values' mean square that counts as noise
STEPS = 41                                      # of each grid on which the best strength is looked for


def log_evidence(features: Tensor, values: Tensor, intercept: bool = False) -> float:
    """Return the largest log evidence per row of values under Bayesian linear regression on frozen features.

    The values are y ~ N(F w, 1/β) with w ~ N(0, 1/α); w is integrated out, and α and β are chosen to make the
    evidence as large as it gets. So neither many features nor few rows can make a source look good by overfitting,
    which a head's training loss would.

    Along the left singular vectors of F the values are independent, with variances (1 + λσ²)/β, λ = β/α. The best β
    of a λ has a closed form, so that one number is left to look for; λ = 0 is the null model, without features. Of
    values that the features explain exactly the evidence would know no maximum: a millionth of their mean square is
    always counted as noise.

    Args:
        features: F, [N, d].
        values: y, [N].
        intercept: take the means out of features and values. That leaves the N − 1 directions at right angles to
            the constant, and the evidence is that of these N − 1 numbers, per each of them.

    Raises:
        ValueError: fewer than two rows, or values that are all zero (with an intercept, all alike).

    Reference: You et al. 2021, LogME: Practical Assessment of Pre-trained Models for Transfer Learning, equation 2
    (the same maximum by a fixed-point iteration, algorithm 1).
    """
    features, values = features.detach().to(torch.float64), values.to(torch.float64)
    rows, level = len(features) - intercept, features.norm()
    if intercept:
        features, values = features - features.mean(0), values - values.mean()
    total = values.square().sum()                                                       # ‖y‖²
    if len(features) < 2 or total == 0:
        raise ValueError(f"{len(features)} rows, {int(values.count_nonzero())} values off "
                         f"{'their mean' if intercept else 'zero'}: there is nothing to explain")
    left, singular, _ = torch.linalg.svd(features, full_matrices=False)
    kept = singular > level * max(features.shape) * torch.finfo(torch.float64).eps      # a dead feature gives none
    squares, projected = singular[kept].square(), (left[:, kept].T @ values).square()   # σ², z² [K]
    outside = (total - projected.sum()).clamp(min=0)                                    # what no w can explain

    def evidence(strengths: Tensor) -> Tensor:
        spread = 1 + strengths.unsqueeze(-1) * squares                                  # [S, K]
        fitting = ((projected / spread).sum(-1) + outside) / rows                       # 1/β where it fits best
        noise = fitting.clamp(min=QUIETEST * total / rows)
        return -((2 * math.pi * noise).log() + fitting / noise + spread.log().sum(-1) / rows) / 2       # [S]

    best = evidence(torch.zeros(1, dtype=torch.float64)).item()
    low, high = -10.0, 14.0                                                             # of log10 λσ² …
    for _ in range(6 if kept.any() else 0):
        grid = torch.linspace(low, high, STEPS, dtype=torch.float64)
        found = evidence(10**grid / squares.max())                                      # … of the largest σ²
        best, middle, step = max(best, found.max().item()), grid[found.argmax()].item(), (high - low) / (STEPS - 1)
        low, high = middle - step, middle + step
    return best


def logme(features: Tensor, labels: Tensor, intercept: bool = True) -> float:
    """Score a source's frozen features by how well they explain the target's labels; higher is better.

    For a choice between sources with binary targets. The H-score wants the inverse of the features' covariance,
    which few target rows do not give; LEEP wants a source classifier with several classes. The evidence needs
    neither, and pays for each direction that it uses.

    Args:
        features: of the target's rows, as the source's body maps them, [N, d].
        labels: classes, [N] integers (or 0.0 and 1.0).
        intercept: take the means out of features and labels first, so that no source is praised for explaining the
            base rate. The paper does not: there, a body whose features happen to hold a constant can beat one that
            knows the target.

    Returns:
        Mean over the classes of the log evidence per row (with an intercept, of N − 1) of "is it this class", in
        nats. Features that tell nothing, dead or constant ones among them, score as no features do.

    Raises:
        ValueError: fewer than two classes.

    Reference: You et al. 2021.
    """
    classes = labels.unique()
    if len(classes) < 2:
        raise ValueError(f"all {len(labels)} labels are {classes.tolist()}: any source explains them")
    values = (labels == classes.unsqueeze(-1)).to(torch.float64)                        # [classes, N]
    return float(np.mean([log_evidence(features, each, intercept) for each in values]))


def proxy_a_distance(source: Tensor, target: Tensor, seed: int = 0) -> float:
    """Return 2 (1 − 2 ε), where ε is the error of a linear judge of domains on held-out rows.

    0: not to be told apart, 2: told apart without error; below 0 is chance. Both domains weigh alike in ε.

    Args:
        source: features, [N, d].
        target: features, [M, d].
        seed: of the half of the rows that the judge learns from.

    Reference: Ben-David et al. 2007, Analysis of Representations for Domain Adaptation, section 4.
    """
    rows = torch.cat([source, target]).detach().cpu()
    scaled = ((rows - rows.mean(0)) / rows.std(0).clamp(min=torch.finfo(rows.dtype).eps)).numpy()
    domain = (torch.arange(len(rows)) >= len(source)).numpy()
    learn, test, known, hidden = train_test_split(scaled, domain, test_size=0.5, random_state=seed, stratify=domain)
    judged = LogisticRegression(class_weight="balanced", max_iter=1000).fit(learn, known).predict(test)
    error = np.mean([(judged[hidden == each] != each).mean() for each in (False, True)])
    return float(2 * (1 - 2 * error))

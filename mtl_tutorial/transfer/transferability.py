"""Which source to start from, and how far two domains are apart, without training any candidate."""

from __future__ import annotations

import math

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import Tensor

ROUNDS = 100            # of the fixed-point iteration; it settles in a handful


def log_evidence(features: Tensor, values: Tensor) -> float:
    """Return the largest log evidence per row of values under Bayesian linear regression on frozen features.

    The values are y ~ N(F w, 1/β) with w ~ N(0, 1/α); w is integrated out, and α and β are chosen to make the
    evidence as large as it gets. So neither many features nor few rows can make a source look good by overfitting,
    which a head's training loss would.

    Args:
        features: F, [N, d].
        values: y, [N].

    Raises:
        ValueError: fewer than two rows, or values that are all zero.

    Reference: You et al. 2021, LogME: Practical Assessment of Pre-trained Models for Transfer Learning, equation 2
    and algorithm 1.
    """
    values = values.to(torch.float64)
    rows = len(features)
    if rows < 2 or not values.any():
        raise ValueError(f"{rows} rows, {int(values.count_nonzero())} values off zero: there is nothing to explain")
    left, singular, _ = torch.linalg.svd(features.to(torch.float64), full_matrices=False)
    squares, projected = singular.square(), (left.T @ values).square()                  # σ², z² [min(N, d)]
    outside = (values.square().sum() - projected.sum()).clamp(min=0)                    # what no w can explain
    alpha, beta = torch.ones(2, dtype=torch.float64)
    for _ in range(ROUNDS):
        ratio = alpha / beta
        gamma = (squares / (squares + ratio)).sum()                                     # well-determined directions
        weight = (squares * projected / (squares + ratio).square()).sum()               # ‖w‖²
        residual = (projected * (ratio / (squares + ratio)).square()).sum() + outside   # ‖F w − y‖²
        before = alpha, beta
        alpha, beta = gamma / weight.clamp(min=1e-300), (rows - gamma) / residual.clamp(min=1e-300)
        if all((new / old - 1).abs() < 1e-10 for new, old in zip((alpha, beta), before, strict=True)):
            break
    variance = 1 / beta + squares / alpha                       # y is normal with these variances along U, …
    explained = variance.log().sum() + (projected / variance).sum()
    elsewhere = -(rows - len(squares)) * beta.log() + beta * outside                    # … and 1/β elsewhere
    return (-(explained + elsewhere) / (2 * rows)).item() - math.log(2 * math.pi) / 2


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
        Mean over the classes of the log evidence per row of "is it this class", in nats.

    Raises:
        ValueError: fewer than two classes.

    Reference: You et al. 2021.
    """
    classes = labels.unique()
    if len(classes) < 2:
        raise ValueError(f"all {len(labels)} labels are {classes.tolist()}: any source explains them")
    values = (labels == classes.unsqueeze(-1)).to(torch.float64)                        # [classes, N]
    if intercept:
        features, values = features - features.mean(0), values - values.mean(-1, keepdim=True)
    return float(np.mean([log_evidence(features, each) for each in values]))


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

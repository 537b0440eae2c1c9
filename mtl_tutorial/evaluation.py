"""Metrics, and comparisons that say how sure they are.

What scikit-learn has is scikit-learn's; here are the names this field uses and what is missing there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn import metrics


def auc(labels, scores) -> float:
    """Return the area under the ROC curve: the chance that a positive row outscores a negative one.

    NaN where all labels are equal: it is not defined there.
    """
    labels = np.asarray(labels)
    if labels.min() == labels.max():
        return float("nan")
    return float(metrics.roc_auc_score(labels, np.asarray(scores)))


def expected_auc(chances, scores) -> float:
    """Return the AUC against the truth: of labels drawn over and over from each row's own chance.

    It is known of simulated data alone. :func:`auc` adds the luck of one draw of labels, which is much where
    positives are few, and which all repeats share that are scored on the same rows.

    Args:
        chances: true probability that the row is positive, [N].
        scores: of each row, [N].

    Each pair of rows counts with the chance that the first is positive and the second is not, a row with itself as
    a tie. NaN where all labels are certain to be equal.
    """
    chances = np.asarray(chances, dtype=float)
    _, tie = np.unique(np.asarray(scores), return_inverse=True)         # the rank of each score, lowest first
    positive, negative = np.bincount(tie, chances), np.bincount(tie, 1 - chances)
    pairs = positive.sum() * negative.sum()
    wins = positive * (negative.cumsum() - negative / 2)                # below, and half of those that tie
    return float(wins.sum() / pairs) if pairs > 0 else float("nan")


def gauc(labels, scores, groups) -> float:
    """Return the AUC within each group (user), averaged with the groups' rows as weights.

    Groups whose labels are all equal have no AUC and are left out. NaN where no group is left.

    Reference: Zhu et al. 2017, Optimized Cost per Click in Taobao Display Advertising, equation 11.
    """
    order = np.lexsort((np.asarray(scores), np.asarray(groups)))
    labels, scores, groups = (np.asarray(column)[order] for column in (labels, scores, groups))
    labels = labels.astype(float)
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    start = np.cumsum(size) - size
    rank = np.arange(len(labels)) - start[group] + 1.0                  # 1 … size, within the group
    tie_starts = np.r_[True, (np.diff(group) != 0) | (np.diff(scores) != 0)]
    tie = np.cumsum(tie_starts) - 1
    rank = (np.bincount(tie, rank) / np.bincount(tie))[tie]             # equal scores share their mean rank
    positives = np.bincount(group, labels)
    negatives = size - positives
    mixed = (positives > 0) & (negatives > 0)
    if not mixed.any():
        return float("nan")
    rank_sum = np.bincount(group, rank * labels)
    wins = rank_sum - positives * (positives + 1) / 2
    area = wins[mixed] / (positives * negatives)[mixed]
    return float(np.average(area, weights=size[mixed]))


def log_loss(labels, probabilities) -> float:
    """Return the mean negative log-likelihood in nats, of [N] probabilities or [N, C] of classes."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    classes = [0, 1] if probabilities.ndim == 1 else list(range(probabilities.shape[1]))
    if probabilities.ndim == 2:     # float32 softmax rows sum to 1 only up to rounding
        probabilities = probabilities / probabilities.sum(1, keepdims=True)
    return float(metrics.log_loss(np.asarray(labels), probabilities, labels=classes))


def calibration_error(labels, probabilities, bins: int = 10) -> float:
    """Return the expected calibration error over bins of equally many rows: Σ share · |observed − predicted|.

    Rows of equal probability that fall into two bins count in both with the mean of their labels, so that the
    order of the rows does not matter.
    """
    labels, probabilities = (np.asarray(column, dtype=float) for column in (labels, probabilities))
    _, tie = np.unique(probabilities, return_inverse=True)
    observed = (np.bincount(tie, labels) / np.bincount(tie))[tie]
    error = 0.0
    for rows in np.array_split(np.argsort(probabilities), bins):
        error += abs((observed[rows] - probabilities[rows]).sum()) / len(labels)
    return float(error)


def rmse(targets, predictions) -> float:
    """Return the root mean squared error, in the target's unit."""
    return float(metrics.root_mean_squared_error(np.asarray(targets), np.asarray(predictions)))


def recall_at_k(relevant, scores, k: int) -> float:
    """Return the share of each user's relevant items among the k best scored, averaged over users.

    Args:
        relevant: 1 where an item is relevant to a user, [U, I].
        scores: [U, I]; minus infinity keeps an item out of the list.
        k: length of the list.

    Users without a relevant item are left out; NaN where none is left.
    """
    relevant, scores = np.asarray(relevant, dtype=float), np.asarray(scores)
    known = relevant.sum(1) > 0
    if not known.any():
        return float("nan")
    top = np.argpartition(-scores[known], min(k, scores.shape[1]) - 1, axis=1)[:, :k]
    listed = np.where(np.isneginf(scores[known]), 0.0, relevant[known])
    hits = np.take_along_axis(listed, top, 1).sum(1)
    return float((hits / relevant[known].sum(1)).mean())


def ndcg_at_k(relevant, scores, k: int) -> float:
    """Return the normalised discounted cumulative gain of the k best scored items, averaged over users.

    Arguments as for :func:`recall_at_k`; users without a relevant item are left out. A list that runs out of items
    stays empty from there on: an item that is kept out earns nothing, but counts in the best list there could be.
    """
    relevant, scores = np.asarray(relevant, dtype=float), np.asarray(scores, dtype=float)
    known = relevant.sum(1) > 0
    if not known.any():
        return float("nan")
    lowest = np.finfo(float).min
    blanks = np.zeros((known.sum(), k))             # k empty places between the items listed and those kept out
    filled = np.hstack([np.nan_to_num(scores[known], neginf=lowest), blanks + lowest / 2])
    return float(metrics.ndcg_score(np.hstack([relevant[known], blanks]), filled, k=k))


def ndcg_by_group(relevance, scores, groups, k: int) -> float:
    """Return the NDCG of the k best scored rows within each group (request), averaged over groups.

    The gain of a row is its relevance, discounted by log₂(1 + rank). Rows of equal score share the mean discount of
    the ranks that they hold together, 0 beyond k: what they would get on average in random order, so that a
    constant score is no better than chance whatever the order of the rows. Groups of any sizes may be mixed.

    Args:
        relevance: grade of each row, 0 where nothing came of it, [N].
        scores: of each row, [N].
        groups: of each row, [N].
        k: length of the list that counts.

    Groups without a relevant row have no NDCG and are left out; NaN where no group is left.

    Raises:
        ValueError: k below 1, or a relevance below 0.

    Reference: Järvelin and Kekäläinen 2002, Cumulated Gain-Based Evaluation of IR Techniques; McSherry and Najork
    2008, Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied Scores.
    """
    relevance, scores = np.asarray(relevance, dtype=float), np.asarray(scores, dtype=float)
    if k < 1:
        raise ValueError(f"k={k}: a list holds at least one row")
    if (relevance < 0).any():
        row = int((relevance < 0).argmax())
        raise ValueError(f"relevance must not be negative, but row {row} has {relevance[row]}")
    _, group, size = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    start = np.cumsum(size) - size

    def gained(order_by) -> np.ndarray:
        """Sum the discounted relevance over each group, best first by ``order_by``."""
        order = np.lexsort((-order_by, group))
        member, value = group[order], order_by[order]
        rank = np.arange(len(order)) - start[member]                    # 0 … size − 1, within the group
        discount = np.where(rank < k, 1 / np.log2(rank + 2.0), 0.0)
        tie = np.cumsum(np.r_[True, (np.diff(member) != 0) | (np.diff(value) != 0)]) - 1
        discount = (np.bincount(tie, discount) / np.bincount(tie))[tie]
        return np.bincount(member, discount * relevance[order])

    ideal = gained(relevance)
    known = ideal > 0
    return float((gained(scores)[known] / ideal[known]).mean()) if known.any() else float("nan")


def multi_task_gain(multi: Sequence[float], single: Sequence[float], higher_is_better: Sequence[bool]) -> float:
    """Return Δm, the mean relative gain of a multi-task model over single-task models, as a fraction.

    Args:
        multi: the multi-task model's metric per task.
        single: the single-task models' metric per task, in the same order.
        higher_is_better: per task; False for errors and losses.

    Reference: Maninis et al. 2019, Attentive Single-Tasking of Multiple Tasks, equation 4.
    """
    multi, single = np.asarray(multi, dtype=float), np.asarray(single, dtype=float)
    sign = np.where(higher_is_better, 1.0, -1.0)
    return float((sign * (multi - single) / single).mean())


@dataclass(frozen=True)
class Interval:
    """A mean over repeats with its Student-t interval."""

    mean: float
    low: float
    high: float
    repeats: int

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.high - self.mean:.4f}"


def interval(values, confidence: float = 0.95) -> Interval:
    """Return the mean of one score per repeat, [R], with its interval.

    Raises:
        ValueError: fewer than two repeats: a single run has no interval.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"an interval needs a list of at least two repeats, not shape {values.shape}")
    half = stats.t.ppf(0.5 + confidence / 2, len(values) - 1) * stats.sem(values)
    mean = values.mean()
    return Interval(float(mean), float(mean - half), float(mean + half), len(values))


def paired(ours, baseline, confidence: float = 0.95) -> Interval:
    """Compare two methods over the same repeats, same data and same seed in each pair: ours − baseline.

    Args:
        ours: one score per repeat, [R].
        baseline: the other method's, in the same order, [R].
        confidence: of the interval.

    Raises:
        ValueError: lists of different lengths, or fewer than two repeats.
    """
    ours, baseline = np.asarray(ours, dtype=float), np.asarray(baseline, dtype=float)
    if ours.shape != baseline.shape:
        raise ValueError(f"paired scores must be two lists of one length, not {ours.shape} and {baseline.shape}")
    return interval(ours - baseline, confidence)

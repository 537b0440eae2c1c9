"""What accuracy does not say of recommendation lists: how varied they are, how much of the catalogue they show."""

from __future__ import annotations

import numpy as np


def intra_list_diversity(lists, distances) -> float:
    """Return the mean distance of two different items of one list, averaged over lists.

    Args:
        lists: the k items shown to each user, [U, k] ids.
        distances: of every two items, [I, I], symmetric; for example one minus the cosine of their features.

    Raises:
        ValueError: lists of fewer than two items, or an item without a distance.

    Reference: Ziegler et al. 2005, Improving Recommendation Lists Through Topic Diversification, section 3.3. They
    sum the similarity of all pairs; a mean of distances does not grow with k, and higher is more varied.
    """
    lists, distances = _lists(lists, len(distances)), np.asarray(distances, dtype=float)
    k = lists.shape[1]
    if k < 2:
        raise ValueError(f"a list of {k} item has no pair to compare: give at least two")
    first, second = np.triu_indices(k, 1)
    return float(distances[lists[:, first], lists[:, second]].mean())


def catalogue_coverage(lists, items: int) -> float:
    """Return the share of the catalogue that stands in at least one list.

    Args:
        lists: the k items shown to each user, [U, k] ids.
        items: in the catalogue.

    Reference: Ge, Delgado-Battenfeld and Jannach 2010, Beyond Accuracy, equation 2.
    """
    return len(np.unique(_lists(lists, items))) / items


def diversify(scores, distances, k: int, price: float) -> np.ndarray:
    """Choose lists one place after another, each time the item of best score plus ``price`` × mean distance so far.

    Args:
        scores: of each user's items, [U, I].
        distances: of every two items, [I, I].
        k: length of the lists.
        price: how much score a unit of distance is worth; 0 gives the k best scored items.

    Returns:
        The items in the order they were chosen, [U, k] ids.

    Raises:
        ValueError: k outside 1 … I, or a negative price.

    Reference: Carbonell and Goldstein 1998, The Use of MMR, Diversity-Based Reranking; here with the mean distance,
    as in Ziegler et al. 2005, in place of the largest similarity.
    """
    scores, distances = np.array(scores, dtype=float), np.asarray(distances, dtype=float)
    if not 1 <= k <= scores.shape[1] or price < 0:
        raise ValueError(f"k={k} must be 1 … {scores.shape[1]}, the number of items, and price={price} at least 0")
    user, chosen = np.arange(len(scores)), np.empty((len(scores), k), dtype=int)
    far = np.zeros_like(scores)                                     # [U, I] summed distance to the items chosen
    for place in range(k):
        chosen[:, place] = (scores + price * far / max(place, 1)).argmax(1)
        far += distances[chosen[:, place]]
        scores[user, chosen[:, place]] = -np.inf
    return chosen


def _lists(lists, items: int) -> np.ndarray:
    lists = np.asarray(lists)
    if lists.ndim != 2 or not np.issubdtype(lists.dtype, np.integer) or lists.size == 0:
        raise ValueError(f"lists must be [users, k] integer ids, not {lists.shape} {lists.dtype}")
    if lists.min() < 0 or lists.max() >= items:
        raise ValueError(f"lists hold item {lists.max() if lists.max() >= items else lists.min()}, "
                         f"the catalogue has 0 … {items - 1}")
    return lists

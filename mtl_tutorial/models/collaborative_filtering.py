"""Classical collaborative filtering: what users did, without a feature of anybody, and without a gradient."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.metrics.pairwise import cosine_similarity

from mtl_tutorial.data.table import Table


def interactions(table: Table, target: str, users: int, items: int) -> sparse.csr_array:
    """Count how often each user did something with each item, [U, I].

    Args:
        table: impressions with the fields ``user`` and ``item``.
        target: a binary target of the table; rows where it is 1 and observed are counted.
        users: U.
        items: I.
    """
    done = (table.targets[target] > 0) & table.mask(target)
    place = table.ids("user")[done].cpu().numpy(), table.ids("item")[done].cpu().numpy()
    return sparse.csr_array((np.ones(len(place[0])), place), shape=(users, items))      # doubles are summed


def item_neighbour_scores(counts: sparse.csr_array, neighbours: int = 20) -> np.ndarray:
    """Score items by their likeness to what the user had: s_ui = Σ_{j ∈ N(i)} cos(i, j) · r_uj.

    Args:
        counts: interactions r, [U, I].
        neighbours: the most alike other items that count for an item, N(i).

    Returns:
        Scores, [U, I]; 0 where nothing that the user had is a neighbour.

    Raises:
        ValueError: fewer than one neighbour.

    Reference: Sarwar et al. 2001, Item-Based Collaborative Filtering Recommendation Algorithms; Deshpande and
    Karypis 2004, Item-Based Top-N Recommendation Algorithms, for sums over the user's items.
    """
    if neighbours < 1:
        raise ValueError(f"neighbours={neighbours}: an item needs at least one")
    likeness = cosine_similarity(counts.T)                                              # [I, I]
    np.fill_diagonal(likeness, 0.0)
    if neighbours < len(likeness):
        far = np.argsort(-likeness, axis=1, kind="stable")[:, neighbours:]
        np.put_along_axis(likeness, far, 0.0, axis=1)                                   # row i keeps N(i) alone
    return counts @ likeness.T


def truncated_svd_scores(counts: sparse.csr_array, factors: int = 8) -> np.ndarray:
    """Score items by the best approximation of the interactions with few factors: R ≈ U_f Σ_f V_fᵀ.

    Args:
        counts: interactions R, [U, I].
        factors: f, the dimension of users and items.

    Returns:
        The approximation, [U, I].

    Raises:
        ValueError: more factors than users or items, or fewer than one.

    Reference: Cremonesi, Koren and Turrin 2010, Performance of Recommender Algorithms on Top-N Recommendation Tasks
    (PureSVD).
    """
    if not 1 <= factors <= min(counts.shape):
        raise ValueError(f"factors={factors} is outside 1 … {min(counts.shape)}, the smaller side of the matrix")
    if factors == min(counts.shape):
        return counts.toarray()
    svd = TruncatedSVD(factors, algorithm="arpack", random_state=0)
    return svd.fit_transform(counts) @ svd.components_

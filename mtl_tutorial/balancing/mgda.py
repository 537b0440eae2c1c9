"""MGDA: the shortest vector between the gradients."""

from __future__ import annotations

from torch import Tensor

from mtl_tutorial.balancing.aggregator import Aggregator
from mtl_tutorial.balancing.gramian import one_by_one, rows_of
from mtl_tutorial.balancing.simplex import shortest


def min_norm_weight(first: Tensor, second: Tensor) -> Tensor:
    """Return the share γ in [0, 1] of ``first`` in the shortest γ·first + (1 − γ)·second, for gradients [P].

    Reference: Sener and Koltun 2018, Multi-Task Learning as Multi-Objective Optimization, equation 4.
    """
    difference = second - first
    return (difference @ second / (difference @ difference).clamp(min=1e-30)).clamp(0, 1)


class MGDA(Aggregator):
    """Descend the shortest convex combination of the gradients: zero at a Pareto-stationary point, and only there.

    To first order all tasks that have weight gain the same amount; the task whose gradient is smallest therefore
    sets the pace of all. A batch without a label of some task has a zero gradient for it, and what is shared stands
    still.

    Reference: Désidéri 2012, Multiple-gradient descent algorithm (MGDA) for multiobjective optimization;
    Sener and Koltun 2018, Multi-Task Learning as Multi-Objective Optimization, algorithm 2.
    """

    def weights(self, gramian: Tensor) -> Tensor:
        """Map the Gramian [..., K, K] to the weights [..., K], which sum to 1."""
        return one_by_one(lambda problem: shortest(rows_of(problem)), gramian)

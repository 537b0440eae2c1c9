"""Methods that this suite does not teach line by line, from torchjd behind the same interface."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from mtl_tutorial.balancing.aggregator import Aggregator
from mtl_tutorial.balancing.gramian import one_by_one, rows_of


class FromTorchJD(Aggregator):
    """Use an aggregator of torchjd, for example ``FromTorchJD(torchjd.aggregation.UPGrad())``.

    So come Nash-MTL, IMTL-G and Aligned-MTL.

    Args:
        method: one of torchjd's weighted aggregators. One that remembers (Nash-MTL) serves one model, and
            its memory does not go into a checkpoint.
        at: see :class:`~mtl_tutorial.balancing.aggregator.Aggregator`.

    Raises:
        TypeError: an aggregator of torchjd that does not work by weights.

    Reference: Quinton and Rey 2024, Jacobian Descent for Multi-Objective Optimization (the library torchjd).
    """

    def __init__(self, method, at: Literal["parameters", "representation"] = "parameters"):
        super().__init__(at)
        if not (hasattr(method, "gramian_weighting") or hasattr(method, "weighting")):
            raise TypeError(f"{method} does not weight the tasks' gradients")
        self.method = method

    def weights(self, gramian: Tensor) -> Tensor:
        """Map the Gramian [..., K, K] to the weights [..., K], one after the other: the library takes one."""
        if hasattr(self.method, "gramian_weighting"):
            return one_by_one(self.method.gramian_weighting, gramian)
        return one_by_one(lambda problem: self.method.weighting(rows_of(problem)), gramian)

    def extra_repr(self) -> str:
        """Show the method and its settings."""
        return f"{self.method!r}, {super().extra_repr()}"

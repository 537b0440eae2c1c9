"""Methods that this suite does not teach line by line, from torchjd behind the same interface."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mtl_tutorial.balancing.aggregator import Aggregator


class FromTorchJD(Aggregator):
    """Use an aggregator of torchjd, for example ``FromTorchJD(torchjd.aggregation.UPGrad())``.

    So come Nash-MTL, IMTL-G and Aligned-MTL.

    Args:
        method: one of torchjd's weighted aggregators. One that remembers (Nash-MTL) serves one model.
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
        flat = [self._weights(one) for one in gramian.reshape(-1, *gramian.shape[-2:])]
        return torch.stack(flat).reshape(gramian.shape[:-1])

    def _weights(self, gramian: Tensor) -> Tensor:
        if hasattr(self.method, "gramian_weighting"):
            return self.method.gramian_weighting(gramian)
        values, vectors = torch.linalg.eigh(gramian)        # rows with these inner products stand for the gradients
        return self.method.weighting(vectors * values.clamp(min=0).sqrt())

    def extra_repr(self) -> str:
        """Show the method and its settings."""
        return f"{self.method!r}, {super().extra_repr()}"

"""Numbers of any unit brought to mean 0 and deviation 1, as the training set has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Standardiser:
    """Subtracts ``mean`` and divides by ``deviation``, [features] each."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Standardiser:
        """Read mean and deviation off rows [N, …]; a constant feature keeps its unit."""
        deviation = rows.std(0)
        return cls(rows.mean(0), np.where(deviation > 0, deviation, 1.0))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows [n, …] standardised."""
        return (rows - self.mean) / self.deviation

"""Sine waves of random amplitude and phase: the tasks of the MAML paper."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mtl_tutorial.meta.episodes import Episodes

AMPLITUDES = (0.1, 5.0)
PHASES = (0.0, math.pi)
INPUTS = (-5.0, 5.0)


class Sinusoids(NamedTuple):
    """T tasks: y = a · sin(x − p), without noise.

    Reference: Finn, Abbeel and Levine 2017, Model-Agnostic Meta-Learning, section 5.1.
    """

    amplitude: Tensor       # [T]
    phase: Tensor           # [T], radians

    def at(self, x: Tensor) -> Tensor:
        """Return y at x, both [T, N, 1]."""
        return self.amplitude[:, None, None] * (x - self.phase[:, None, None]).sin()

    def episodes(self, shots: int, queries: int, generator: torch.Generator) -> Episodes:
        """Draw rows of each task, uniformly from −5 … 5.

        Args:
            shots: K, support rows of each task.
            queries: query rows of each task.
            generator: of the draws.
        """
        x = _uniform((len(self.amplitude), shots + queries, 1), INPUTS, generator)      # [T, K + Q, 1]
        y = self.at(x)
        return Episodes(x[:, :shots], y[:, :shots], x[:, shots:], y[:, shots:])


def draw_sinusoids(tasks: int, generator: torch.Generator) -> Sinusoids:
    """Draw T tasks: amplitude uniform in 0.1 … 5, phase in 0 … π."""
    return Sinusoids(_uniform((tasks,), AMPLITUDES, generator), _uniform((tasks,), PHASES, generator))


def _uniform(shape: tuple[int, ...], limits: tuple[float, float], generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(*limits, generator=generator)

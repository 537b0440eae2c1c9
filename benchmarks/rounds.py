"""Timing several things fairly: in rounds, each thing once per round, in an order of its own every round.

So a machine that is busy for a while, or that warms up, is so for all of them alike.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

from mtl_tutorial.progress_bar import bar


class Timing(NamedTuple):
    """Seconds that one thing took."""

    samples: tuple[float, ...]      # one per round, in the order of the rounds

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between which the middle half of the rounds lies."""
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return low, high

    def per(self, count: int) -> Timing:
        """Return what one of ``count`` things took that were done at once."""
        return Timing(tuple(taken / count for taken in self.samples))

    def over(self, other: Timing) -> Timing:
        """Return how many times as long as the other this took, round by round."""
        return Timing(tuple(mine / theirs for mine, theirs in zip(self.samples, other.samples, strict=True)))


def interleaved(candidates: Mapping[str, Callable[[], object]], rounds: int = 20, warm_up: int = 3,
                seed: int = 0) -> dict[str, Timing]:
    """Call every candidate once per round and return name -> seconds.

    Args:
        candidates: name -> what is timed. An accelerator is waited for before and after.
        rounds: that count, at least 2.
        warm_up: rounds before them that do not.
        seed: of the order within each round.

    Raises:
        ValueError: fewer than two rounds, of which no spread could be told.
    """
    if rounds < 2:
        raise ValueError(f"rounds={rounds}: a spread needs at least 2")
    order, shuffle = list(candidates), random.Random(seed)
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    with bar(warm_up + rounds, "timing") as progress:
        for number in range(warm_up + rounds):
            shuffle.shuffle(order)
            for name in order:
                seconds = _seconds(candidates[name])
                if number >= warm_up:
                    samples[name].append(seconds)
            progress.update()
    return {name: Timing(tuple(taken)) for name, taken in samples.items()}


def _seconds(call: Callable[[], object]) -> float:
    _wait()
    start = time.perf_counter()
    call()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()

"""One seed for all that is drawn, and nobody else's random state touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from sklearn.utils import check_random_state


def draw_seed(random_state) -> int:
    """Return a seed drawn from an int, a ``numpy.random.RandomState`` or None, as scikit-learn reads them."""
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def weights_drawn_with(seed: int) -> Iterator[None]:
    """Build a model inside: its weights come from ``seed``, and the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)       # the CPU's alone: no accelerator is reseeded
        yield

"""How much memory a computation keeps for its backward pass."""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Self

import torch
from torch import Tensor


class SavedBytes:
    """Count the bytes that autograd holds on to while this context is open, each storage once.

    >>> with SavedBytes() as saved:
    ...     loss = learner(episodes).mean()
    >>> saved.peak

    Attributes:
        held: bytes held now, by graphs that are still alive.
        peak: the most that were held at one time.
    """

    def __init__(self):
        self.held = self.peak = 0
        self._users: Counter[int] = Counter()           # address of a storage -> how often it is held
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda kept: kept.tensor)

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._hooks.__exit__(kind, error, trace)

    def _pack(self, tensor: Tensor) -> _Kept:
        return _Kept(self, tensor)

    def _count(self, storage: torch.UntypedStorage, change: int) -> None:
        address = storage.data_ptr()
        before = self._users[address] > 0
        self._users[address] += change
        self.held += storage.nbytes() * ((self._users[address] > 0) - before)
        self.peak = max(self.peak, self.held)


class _Kept:
    """A saved tensor that tells when its graph lets it go."""

    def __init__(self, counter: SavedBytes, tensor: Tensor):
        self.counter = counter
        self.tensor = tensor.detach()       # with its graph, an output would keep itself alive
        counter._count(tensor.untyped_storage(), 1)

    def __del__(self):
        self.counter._count(self.tensor.untyped_storage(), -1)

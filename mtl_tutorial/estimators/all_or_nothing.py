"""Learning that fails leaves an estimator as it was."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable


def all_or_nothing(learn: Callable) -> Callable:
    """Let a method learn on a shallow copy of its estimator, which takes over the attributes once it has succeeded.

    Args:
        learn: a method that sets attributes and returns nothing; decorated, it returns the estimator.
    """
    @functools.wraps(learn)
    def learned(self, *arguments, **named):
        fresh = copy.copy(self)
        learn(fresh, *arguments, **named)
        self.__dict__ = fresh.__dict__
        return self

    return learned

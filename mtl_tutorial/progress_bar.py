"""Progress bars: one helper, so that every bar looks alike and all fall silent together."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tqdm.auto import tqdm


def bar(iterable: Iterable | None = None, *, total: int | None = None, initial: int = 0,
        description: str = "") -> tqdm:
    """Return a progress bar over ``iterable``, or over ``total`` steps reported by ``update()``.

    It shows itself after a second and leaves nothing behind; ``MTL_TUTORIAL_QUIET=1`` silences it.
    """
    quiet = os.environ.get("MTL_TUTORIAL_QUIET") == "1"
    return tqdm(iterable, total=total, initial=initial, desc=description, delay=1, leave=False, disable=quiet)

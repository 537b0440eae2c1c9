"""One progress bar for everything that takes time."""

import os
from collections.abc import Iterable

from tqdm.auto import tqdm


def bar(work: Iterable | int, description: str) -> tqdm:
    """Return a progress bar that appears after a second and is gone when the work is done.

    Under ``MTL_TUTORIAL_QUIET=1`` it never appears.

    Args:
        work: what to iterate over, or a number of steps to report with ``update()``.
        description: what is being done, in a few words.
    """
    steps = isinstance(work, int)
    return tqdm(None if steps else work, total=work if steps else None, desc=description, delay=1, leave=False,
                disable=os.environ.get("MTL_TUTORIAL_QUIET") == "1")

"""Memory that one training step frees is there for the next one."""

from __future__ import annotations

import functools

import torch

LARGEST_THRESHOLD = 32 * 2**20      # bytes; of glibc, on 64-bit systems


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MiB of freed memory, instead of giving most of it back after every training step.

    What went back comes again page by page, each page a fault of the processor. glibc fetches blocks above a
    threshold from the system one by one, and gives the end of its heap back beyond twice that threshold. It raises
    the threshold to the size of any such block that is freed, 32 MiB at most. So one block of nearly that size,
    freed before it is ever touched, settles both for the process. Other systems do not notice.

    Reference: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    torch.empty(LARGEST_THRESHOLD - 2**16, dtype=torch.uint8, device="cpu")

"""Where to compute."""

from __future__ import annotations

import os

import torch


def find_device() -> torch.device:
    """Return ``$MTL_TUTORIAL_DEVICE`` if set, else CUDA, MPS or the CPU, whichever is there first.

    Raises:
        RuntimeError: the variable names a device that this machine does not have.
    """
    wanted = os.environ.get("MTL_TUTORIAL_DEVICE")
    if wanted:
        try:
            return torch.empty(0, device=wanted).device
        except (RuntimeError, AssertionError) as error:
            raise RuntimeError(f"MTL_TUTORIAL_DEVICE={wanted}: this machine has no such device "
                               f"({str(error).splitlines()[0]})") from None
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")

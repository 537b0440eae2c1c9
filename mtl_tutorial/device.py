"""Where to compute."""

from __future__ import annotations

import os

import torch


def available_devices() -> list[str]:
    """Return the kinds of device this machine has, the fastest first."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [kind for kind, there in present.items() if there]


def find_device() -> torch.device:
    """Return ``$MTL_TUTORIAL_DEVICE`` if set, else the first of cuda, mps and cpu that this machine has.

    Raises:
        ValueError: the variable asks for a device that this machine lacks.
    """
    present = available_devices()
    asked = os.environ.get("MTL_TUTORIAL_DEVICE")
    if not asked:
        return torch.device(present[0])
    try:
        device = torch.device(asked)
    except RuntimeError:
        device = None
    count = torch.cuda.device_count() if device and device.type == "cuda" else 1
    if device is None or device.type not in present or (device.index or 0) >= count:
        raise ValueError(f"MTL_TUTORIAL_DEVICE is {asked!r}; this machine has {', '.join(present)}")
    return device

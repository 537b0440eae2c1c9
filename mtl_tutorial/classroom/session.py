"""The start of a lesson: seeds, device, threads, plot style."""

import os

import torch

from mtl_tutorial.classroom.panel import show_line
from mtl_tutorial.classroom.plots import use_style
from mtl_tutorial.classroom.randomness import seed_everything


def setup(seed: int = 0) -> torch.device:
    """Make a lesson repeatable and its plots readable; say so in one line.

    Args:
        seed: seeds Python's, NumPy's and torch's generators.

    Returns:
        The device to work on: ``$MTL_TUTORIAL_DEVICE``, or else the first of cuda, mps and cpu that exists.

    Raises:
        ValueError: ``$MTL_TUTORIAL_DEVICE`` or ``$MTL_TUTORIAL_THREADS`` asks for what this machine lacks.
    """
    seed_everything(seed)
    threads = chosen_threads()
    torch.set_num_threads(threads)
    device = chosen_device()
    use_style()
    show_line(f"Ready: seed {seed}, device {device}, {threads} thread{'s' if threads > 1 else ''}.")
    return device


def chosen_threads() -> int:
    """Return ``$MTL_TUTORIAL_THREADS``, or 1: tensors of this size are faster on one thread than on two."""
    asked = os.environ.get("MTL_TUTORIAL_THREADS", "1")
    if not asked.isdecimal() or int(asked) < 1:
        raise ValueError(f"MTL_TUTORIAL_THREADS is {asked!r}; give a whole number of threads, at least 1")
    return int(asked)


def chosen_device() -> torch.device:
    """Return ``$MTL_TUTORIAL_DEVICE``, or the first of cuda, mps and cpu that this machine has."""
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


def available_devices() -> list[str]:
    """Return the kinds of device this machine has, the fastest first."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [kind for kind, there in present.items() if there]

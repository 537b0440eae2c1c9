"""The start of a lesson: seeds, device, threads, plot style."""

import os

import torch

from mtl_tutorial.classroom.panel import show_line
from mtl_tutorial.classroom.randomness import seed_everything
from mtl_tutorial.device import find_device
from mtl_tutorial.plots import use_style


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
    device = find_device()
    use_style()
    show_line(f"Ready: seed {seed}, device {device}, {threads} thread{'s' if threads > 1 else ''}.")
    return device


def chosen_threads() -> int:
    """Return ``$MTL_TUTORIAL_THREADS``, or 1: tensors of this size are faster on one thread than on two."""
    asked = os.environ.get("MTL_TUTORIAL_THREADS", "1")
    if not asked.isdecimal() or int(asked) < 1:
        raise ValueError(f"MTL_TUTORIAL_THREADS is {asked!r}; give a whole number of threads, at least 1")
    return int(asked)

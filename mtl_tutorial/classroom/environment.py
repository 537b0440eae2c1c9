"""``environment_check``: what this machine and this installation offer to the lessons."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from mtl_tutorial.classroom.panel import show_table
from mtl_tutorial.classroom.progress import progress
from mtl_tutorial.classroom.session import chosen_threads
from mtl_tutorial.device import available_devices, find_device
from mtl_tutorial.lessons import LESSONS
from mtl_tutorial.plots import chinese_fonts

PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "matplotlib", "jupyterlab", "ipywidgets")


def environment_check() -> None:
    """Show versions, device, threads, where progress is kept and which lessons are there.

    Its output differs between machines: never a checked one.
    """
    written = [entry.number for entry in LESSONS if entry.available]
    rows = [
        ("Python", platform.python_version()),
        *((package, version(package)) for package in PACKAGES),
        ("devices", f"{', '.join(available_devices())}; the lessons use {find_device()}"),
        ("threads", f"{chosen_threads()} of {os.cpu_count()}"),
        ("Chinese in plots", "yes" if chinese_fonts() else "no: no font for it was found"),
        ("progress", _where_progress_is()),
        ("lessons", f"{len(written)} of {len(LESSONS)}: {', '.join(written)}" if written else "none found"),
    ]
    show_table("This environment", ("what", "found"), rows)


def _where_progress_is() -> str:
    """Say where progress is kept without the name of the user or of a temporary folder."""
    kept = progress()
    if kept.in_memory:
        return "in memory only: it ends with this notebook"
    if os.environ.get("MTL_TUTORIAL_STATE"):
        return f"$MTL_TUTORIAL_STATE/{kept.path.name}"
    return f"~/{kept.path.relative_to(Path.home())}" if kept.path.is_relative_to(Path.home()) else str(kept.path)

"""What a comparison found, as a section of ``benchmarks/results.md``."""

from __future__ import annotations

import io
import itertools
import os
import platform
import re
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.rounds import Timing
from benchmarks.targets import HEADER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).with_name("results.md")
TITLE = """# Results

Written by `make bench`; each section names the machine that it was measured on. What is to be reached stands in
`targets.py`; all of it at a glance:
"""


def machine() -> str:
    """Describe this machine in one line: processor, cores, accelerator, threads, versions, system."""
    parts = [f"{_processor()}, {os.cpu_count()} cores"]
    if torch.accelerator.is_available():
        device = torch.accelerator.current_accelerator()
        parts.append(torch.cuda.get_device_name() if device.type == "cuda" else str(device))
    parts += [f"{torch.get_num_threads()} thread(s)", f"torch {torch.__version__}",
              f"Python {platform.python_version()}", platform.system()]
    return ", ".join(parts)


def milliseconds(timing: Timing) -> str:
    """Write a timing as its median and, in brackets, its quartiles."""
    low, high = timing.quartiles
    return f"{1e3 * timing.median:.1f} [{1e3 * low:.1f}, {1e3 * high:.1f}]"


def ratio(timing: Timing) -> str:
    """Write a ratio of two timings as its median and, in brackets, its quartiles."""
    low, high = timing.quartiles
    return f"{timing.median:.2f} [{low:.2f}, {high:.2f}]"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_section(title: str, body: str, path: Path = RESULTS) -> None:
    """Write a section, in place of an earlier one of the same title; all others stay as they are.

    Args:
        title: of the section, without ``##``; no other section may have it.
        body: Markdown without headings of the second level. The machine and the date are added.
        path: of the file. A reader sees the old file or the new one, never a part.
    """
    section = f"## {title}\n\n{body.strip()}\n\n{machine()}; {date.today().isoformat()}.\n"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    _, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    titles = [found.splitlines()[0].removeprefix("## ") for found in sections]
    if title in titles:
        sections[titles.index(title)] = section
    else:
        sections.append(section)
    content = "\n".join(part.strip() + "\n" for part in (TITLE, summary(sections), *sections) if part)
    _replace(path, content.encode())


def summary(sections: Sequence[str]) -> str:
    """Return all that sections hold against a target as one table, each row with a link to its section."""
    rows = []
    for section in sections:
        title = section.splitlines()[0].removeprefix("## ")
        link = f"[{title}](#{title.lower().replace(' ', '-')})"
        for findings in section.split(table(HEADER, []) + "\n")[1:]:
            lines = itertools.takewhile(lambda line: line.startswith("| "), findings.splitlines())
            rows += [f"| {link} {line}" for line in lines]
    return "\n".join([table(["", *HEADER], []), *rows]) if rows else ""


def write_figure(figure: Figure, path: Path) -> str:
    """Write a figure as PNG, in place of an earlier one, and return its title."""
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    _replace(path, content.getvalue())
    return figure.get_suptitle() or figure.axes[0].get_title(loc="left")


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

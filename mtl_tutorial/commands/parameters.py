"""Parameters given to notebooks from outside: read from full.yaml, and refused where they would reach nothing."""

from pathlib import Path
from typing import Any

import papermill
import yaml


def read_full(file: Path) -> dict[str, dict[str, Any]]:
    """Read the parameters of the long run, ``{"01": {"ROWS": 1000000}}``.

    Raises:
        ValueError: the file does not have that form, or names a notebook that its folder does not hold.
    """
    content = yaml.safe_load(file.read_text("utf-8")) or {}
    if not isinstance(content, dict):
        raise ValueError(f"{file.name}: lesson numbers with their parameters are expected")
    present = {path.name[:2] for path in file.parent.glob("*.ipynb")}
    for number, parameters in content.items():
        if not isinstance(number, str):
            raise ValueError(f'{file.name}: write the lesson number {number} in quotes, e.g. "01"')
        if number not in present:
            raise ValueError(f"{file.name}: there is no notebook {number}")
        if not isinstance(parameters, dict):
            raise ValueError(f"{file.name}: lesson {number} needs parameters, e.g. ROWS: 1000000")
    return content


def unknown(notebook: Path, parameters: dict[str, Any]) -> list[str]:
    """Return the names that are no parameter of the notebook: papermill itself only warns of them."""
    return sorted(parameters.keys() - papermill.inspect_notebook(notebook).keys()) if parameters else []

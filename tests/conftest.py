from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


@pytest.fixture
def write_notebook():
    """Write a notebook of code cells; the first is tagged ``parameters``."""

    def write(path: Path, *sources: str) -> Path:
        cells = [new_code_cell(source) for source in sources]
        cells[0].metadata.tags = ["parameters"]
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
        return path

    return write

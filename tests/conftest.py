from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task

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


@pytest.fixture
def mixed_tasks():
    """One task of every kind: the targets of ``mixed_table``."""
    return [Task("click"), Task("segment", "multiclass", 3), Task("spend", "regression")]


@pytest.fixture
def mixed_table():
    """Make a table of ids and numbers; every target depends on both, and spend is observed on clicked rows.

    In odd scenarios the numbers work on click and spend the other way round.
    """

    def make(rows: int = 200, seed: int = 0, dtype: torch.dtype = torch.float32, scenarios: int = 1) -> Table:
        generator = torch.Generator().manual_seed(seed)
        ids = torch.stack([torch.randint(5, (rows,), generator=generator),
                           torch.randint(4, (rows,), generator=generator)], 1)
        numeric = torch.randn(rows, 3, generator=generator, dtype=dtype)
        noise = torch.randn(rows, generator=generator, dtype=dtype)
        scenario = torch.randint(scenarios, (rows,), generator=generator)
        sign = 1 - 2 * (scenario % 2)
        score = sign * numeric[:, 0] + (ids[:, 0] - 2) + noise
        click = (score > 0).to(dtype)
        return Table(ids, (5, 4), numeric,
                     targets={"click": click, "segment": (ids[:, 1] + (numeric[:, 1] > 0)) % 3,
                              "spend": sign * numeric[:, 2] + 0.5 * ids[:, 0] + 0.1 * noise},
                     masks={"spend": click == 1}, scenario=scenario, scenarios=scenarios, groups=ids[:, 0],
                     field_names=("colour", "size"))

    return make

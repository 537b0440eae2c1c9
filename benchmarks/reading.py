"""What it costs to read rows from Parquet and to batch them: as a Table, and row by row through a DataLoader."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.click_log import as_columns, click_log
from benchmarks.comparison import Form, Report, main
from benchmarks.report import ratio, table
from benchmarks.rounds import interleaved
from benchmarks.targets import Finding
from mtl_tutorial.commands.memory import MIB, PeakMemory
from mtl_tutorial.data import files
from mtl_tutorial.data.columns import Column, Integer
from mtl_tutorial.data.table import Table

ROWS, QUICK_ROWS, IDS, BATCH = 300_000, 80_000, 10_000, 2048
FILE = "click_log.parquet"
FIELDS, TARGETS = tuple(f"field_{number}" for number in range(16)), ("task_0", "task_1")
COLUMNS: dict[str, Column] = {**{name: Integer(0, IDS - 1) for name in FIELDS},
                              **{name: Integer(0, 1) for name in TARGETS}}


def write(folder: Path, rows: int) -> None:
    """Write a click log and its hash."""
    features, labels = as_columns(click_log(rows, len(FIELDS), IDS, len(TARGETS)))
    frame = pd.DataFrame(features | dict(zip(TARGETS, labels.T.astype(np.int8), strict=True)))
    files.write(folder, FILE, frame, COLUMNS)


def by_table() -> int:
    """Read with the check of schema, values and hash, go through the rows once in random order, and add them up."""
    frame = files.read(FILE, COLUMNS)
    targets = {name: torch.from_numpy(frame[name].to_numpy(np.float32)) for name in TARGETS}
    rows = Table(side_by_side(frame, FIELDS, np.int64), (IDS,) * len(FIELDS), torch.zeros(len(frame), 0),
                 targets=targets, field_names=FIELDS)
    total = 0
    for index in rows.batches(BATCH, torch.Generator().manual_seed(0)):
        batch = rows.take(index)
        total += int(batch.categorical.sum()) + int(sum(target.sum() for target in batch.targets.values()))
    return total


def side_by_side(frame: pd.DataFrame, names: Sequence[str], dtype: type) -> Tensor:
    """Return columns as one tensor [N, len(names)]."""
    return torch.from_numpy(np.stack([frame[name] for name in names], axis=1, dtype=dtype))


def _frame() -> pd.DataFrame:
    return pq.read_table(files.folder() / FILE).to_pandas()


def by_rows_of_fields() -> int:
    """Do the same through torch-rechub's Dataset: a row is a dict of one number per field."""
    from torch_rechub.utils.data import TorchDataset  # in the comparisons' environment alone

    frame = _frame()
    columns = {name: frame[name].to_numpy(np.int64) for name in FIELDS}
    rows = TorchDataset(columns, frame[list(TARGETS)].to_numpy(np.float32))
    total = 0
    for features, labels in DataLoader(rows, batch_size=BATCH, shuffle=True):
        total += int(sum(ids.sum() for ids in features.values())) + int(labels.sum())
    return total


def by_rows_of_arrays() -> int:
    """Do the same through torch's TensorDataset: a row is two short tensors."""
    frame = _frame()
    rows = TensorDataset(side_by_side(frame, FIELDS, np.int64), side_by_side(frame, TARGETS, np.float32))
    loader = DataLoader(rows, batch_size=BATCH, shuffle=True)
    return sum(int(ids.sum()) + int(labels.sum()) for ids, labels in loader)


WAYS: dict[str, Callable[[], int]] = {
    "Table, values checked": by_table,
    "Dataset of dicts (torch-rechub), DataLoader": by_rows_of_fields,
    "TensorDataset, DataLoader": by_rows_of_arrays,
}
OURS, DICTS, _ = WAYS


def peak_mib(way: str) -> float:
    """Return the most memory that a fresh process takes for it, beyond what it takes to import everything."""
    code = f"from benchmarks import reading; reading.say_memory(); reading.WAYS[{way!r}]()"
    with PeakMemory(interval=0.005) as memory:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return memory.mib - float(done.stdout)


def say_memory() -> None:
    """Print what this process holds, in MiB, after everything that could be needed is imported."""
    import torch_rechub.utils.data  # noqa: F401, in the comparisons' environment alone

    print(psutil.Process().memory_info().rss / MIB)


def compare(form: Form) -> Report:
    """Check that all ways see the same rows, time them, and measure their memory."""
    count = QUICK_ROWS if form.quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), count)
        size = (Path(folder) / FILE).stat().st_size
        os.environ["MTL_TUTORIAL_DATA"] = folder
        totals = {name: read() for name, read in WAYS.items()}
        if len(set(totals.values())) > 1:
            raise SystemExit(f"the ways do not see the same rows, their sums are {totals}: nothing to compare")
        found = interleaved(WAYS, form.rounds, warm_up=0)
        memory = {} if form.quick else {name: peak_mib(name) for name in WAYS}
    rows = [[name, f"{count / found[name].median:,.0f}", ratio(timing.over(found[OURS])),
             f"{memory[name]:.0f}" if memory else ""] for name, timing in found.items()]
    result = table(["", "rows/s", "times as long as Table", "peak MiB"], rows)
    times = found[DICTS].over(found[OURS])
    return Report(f"""
{count:,} rows of {len(FIELDS)} id fields and {len(TARGETS)} labels, {size / MIB:.1f} MiB of Parquet: read, then
gone through once in random order in batches of {BATCH}, in one process. `Table` by way of `files.read`, which
checks the file's schema, every value and the hash; the others by `pyarrow.parquet.read_table` and no check. Median
of {form.rounds} interleaved rounds with quartiles; ratios are taken round by round. Peak memory: of a fresh
process, beyond its imports. The target is for the Dataset whose rows are dicts, as torch-rechub feeds its trainers.

{result}""", [Finding("reading: rows/s over a row-wise Dataset's", times.median, ratio(times))])


if __name__ == "__main__":
    main("Reading", __doc__, compare, rounds=5)

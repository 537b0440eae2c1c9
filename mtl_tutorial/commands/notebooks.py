"""``notebooks``: execute the notebooks in place and normalise them, the only way outputs are committed."""

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from nbstripout import strip_output

from mtl_tutorial.bootstrap import ROOT
from mtl_tutorial.commands.isolation import isolated
from mtl_tutorial.commands.outputs import WIDGET, output_faults
from mtl_tutorial.commands.selection import chosen

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
TRACES = ["metadata.widgets", "metadata.papermill", "cell.metadata.execution", "cell.metadata.papermill"]


def main(options: argparse.Namespace) -> int:
    """Execute the chosen notebooks; return 1, leaving its file as it was, if one may not be committed."""
    refused = False
    with isolated():
        for path in chosen(ROOT / "notebooks", options.numbers):
            print(f"mtl_tutorial: {path.name}", end=" ", flush=True)
            start = time.perf_counter()
            faults = refresh(path)
            print(f"{time.perf_counter() - start:.0f} s,", "not written" if faults else "written", flush=True)
            for fault in faults:
                print(f"{path.name}: {fault}", file=sys.stderr)
            refused = refused or bool(faults)
    return 1 if refused else 0


def refresh(path: Path) -> list[str]:
    """Execute one notebook in its own folder and put it, normalised, in its place.

    Returns:
        A line for each reason not to write it; none if it was written.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=None,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError:
        pass                        # the cell's output says so
    except DeadKernelError as error:
        return [str(error)]
    normalise(notebook)
    faults = output_faults(notebook)
    if not faults:
        part = path.with_name(f".{path.name}.part")
        nbformat.write(notebook, part)
        part.replace(path)
    return faults


def normalise(notebook: NotebookNode) -> None:
    """Remove from an executed notebook, in place, what would differ or be dead in another place."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _has_static_form(output)]
    notebook.metadata.kernelspec = NotebookNode(KERNEL)
    notebook.metadata.language_info = NotebookNode(name="python")
    strip_output(notebook, keep_output=True, keep_count=True, keep_id=False, extra_keys=TRACES)


def _has_static_form(output: NotebookNode) -> bool:
    """Take the live widget out of an output; False where only its name in plain text is left."""
    if WIDGET not in output.get("data", {}):
        return True
    del output.data[WIDGET]
    return bool(output.data.keys() - {"text/plain"})

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from mtl_tutorial.bootstrap import ROOT
from mtl_tutorial.commands.notebooks import normalise, refresh
from mtl_tutorial.commands.outputs import WIDGET, output_faults

FIGURES = {"claim": "01.x", "held": True, "value": 1.0, "expected": "at least 0"}


def shown(data, metadata=None):
    return new_output("display_data", data=data, metadata=metadata or {})


def notebook_with(*outputs):
    return new_notebook(cells=[new_code_cell("x", execution_count=1, outputs=list(outputs))])


def test_dead_widgets_are_stripped_and_their_static_form_stays():
    view = {"model_id": "1", "version_major": 2, "version_minor": 0}
    notebook = notebook_with(
        shown({WIDGET: view, "text/plain": "IntSlider(value=0)"}),
        shown({WIDGET: view, "text/html": "<details></details>", "text/plain": "quiz"}),
        new_output("stream", text="kept\n"),
    )
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {}}
    notebook.cells[0].metadata.execution = {"iopub.status.busy": "2026-01-01"}
    normalise(notebook)
    quiz, stream = notebook.cells[0].outputs
    assert quiz.data == {"text/html": "<details></details>", "text/plain": "quiz"}
    assert stream.text == "kept\n"
    assert notebook.cells[0].metadata == {}
    assert notebook.cells[0].execution_count == 1
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


def test_a_notebook_is_executed_in_its_own_folder_and_a_second_time_changes_nothing(tmp_path, write_notebook):
    path = write_notebook(tmp_path / "01_x.ipynb", "SEED = 0", "import os; print(os.path.basename(os.getcwd()))")
    assert refresh(path) == []
    first = path.read_text("utf-8")
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.execution_count for cell in cells] == [1, 2]
    assert cells[1].outputs[0].text == f"{tmp_path.name}\n"
    assert refresh(path) == []
    assert path.read_text("utf-8") == first
    assert [file.name for file in tmp_path.iterdir()] == ["01_x.ipynb"]


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("1 / 0", "In [2]: raised ZeroDivisionError: division by zero"),
        ("import sys; print('careful', file=sys.stderr)", "In [2]: wrote to stderr: 'careful\\n'"),
    ],
)
def test_a_notebook_with_a_fault_is_left_as_it_was(tmp_path, write_notebook, source, fault):
    path = write_notebook(tmp_path / "01_x.ipynb", "SEED = 0", source)
    before = path.read_bytes()
    assert refresh(path) == [fault]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (new_output("error", ename="KeyError", evalue="'x'"), "raised KeyError"),
        (new_output("stream", name="stderr", text="warning"), "wrote to stderr"),
        (new_output("stream", text=f"saved {ROOT}/data/x.npz"), "shows a path of this machine"),
        (new_output("stream", text="File '/home/somebody/x.py'"), "shows a path of this machine"),
        (shown({"text/html": "<p>C:\\Users\\me</p>"}), "shows a path of this machine"),
        (shown({"text/plain": "x" * 300_001}), "over 300 kB"),
        (shown({WIDGET: {"model_id": "1"}}), "dead in a file"),
        (shown({"text/html": "<img src='https://example.org/a.png'>"}), "fetches something"),
        (new_output("stream", text="fine\n✓ all well"), "for claims alone"),
    ],
)
def test_each_fault_of_an_output_is_found(output, fault):
    (line,) = output_faults(notebook_with(output))
    assert line.startswith("In [1]: ")
    assert fault in line


def test_a_notebook_that_is_too_large_is_found():
    outputs = [shown({"text/plain": "x" * 290_000})] * 6
    assert output_faults(notebook_with(*outputs)) == ["the notebook is over 1500 kB"]


@pytest.mark.parametrize(
    "output",
    [
        shown({"text/plain": "✓ 01.x  it holds"}, {"mtl_tutorial": FIGURES}),
        shown({"text/html": "<a href='https://arxiv.org/abs/1706.05098'>paper</a>"}),
        shown({"text/plain": "clicks/home/cart and/usr/x, ratio 3/4; a tick ✓ within a line"}),
        shown({"image/png": "/tmp/x" * 10}),
    ],
)
def test_what_a_lesson_rightly_shows_is_no_fault(output):
    assert output_faults(notebook_with(output)) == []

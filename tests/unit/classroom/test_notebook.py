import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from mtl_tutorial.classroom.ledger import claims_of

CELLS = [
    "from mtl_tutorial.classroom import *\ndevice = setup(seed=0)",
    "def answer(x):\n    '''Double.'''\n    return x + x.bogus",
    # a sample exercise in place of a lesson's
    "from mtl_tutorial.classroom import exercise\n"
    "def double(x):\n    return 2 * x\n"
    "sample = Exercise('01.double', double, lambda: [(3.0,)], ('twice',), ())\n"
    "exercise.exercises_of = lambda number: {'01.double': sample}",
    "answer = check('01.double', answer)",
    "claim('01.doubled', 'the answer doubles', answer(2), between(4, 4))",
    "import matplotlib.pyplot as plt\n"
    "def draw(n=1):\n    plt.plot([0, n])\n"
    "explore(draw, n=[1, 2, 3])",
    "fig, ax = plt.subplots()\nfinding(ax, 'Plots of the lesson itself still show', x='n', y='value');",
]


def test_notebook_runs_and_shows_what_its_lesson_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("MTL_TUTORIAL_STATE", str(tmp_path))
    monkeypatch.setenv("MTL_TUTORIAL_DEVICE", "cpu")
    notebook = new_notebook(cells=[new_code_cell(source) for source in CELLS])
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    nbformat.validate(notebook)
    ready, _, _, checked, claimed, explored, plotted = [cell.outputs for cell in notebook.cells]
    assert ready[0].data == {"text/plain": "Ready: seed 0, device cpu, 1 thread."}
    assert "AttributeError: 'float' object has no attribute 'bogus'" in checked[0].data["text/plain"]
    assert "In line 3: `return x + x.bogus`" in checked[0].data["text/plain"]
    assert claimed[0].data == {"text/plain": "✓ 01.doubled  the answer doubles"}
    assert claims_of(notebook) == [
        {"claim": "01.doubled", "held": True, "value": 4.0, "expected": "between 4 and 4"}]
    assert [sorted(output.data) for output in explored] == [
        ["image/png", "text/plain"], ["application/vnd.jupyter.widget-view+json", "text/html", "text/plain"]]
    assert [sorted(output.data) for output in plotted] == [["image/png", "text/plain"]]
    assert not any(output.output_type == "stream" for cell in notebook.cells for output in cell.outputs)

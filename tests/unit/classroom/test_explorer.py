import base64

import matplotlib.pyplot as plt
import pytest
from ipywidgets import Dropdown, SelectionSlider
from ipywidgets.widgets.widget import _instances

START = """
import matplotlib.pyplot as plt
from mtl_tutorial.classroom import explore
calls = []
def draw(correlation=0.5, method="MMoE", width=4):
    calls.append((correlation, method, width))
    if width == 16:
        raise ZeroDivisionError("too <wide>")
    fig, ax = plt.subplots()
    ax.set_title(f"{method} at {correlation}", loc="left")
    return fig
"""
DIALS = "explore(draw, correlation=(0, 1, 0.25), method=['shared', 'MMoE'], width=[4, 8])"


def controls_of(output):
    view = _instances[output.data["application/vnd.jupyter.widget-view+json"]["model_id"]]
    return view.children


def test_default_figure_comes_first_then_the_dials(shell):
    figure, dials = shell.run(START + DIALS)
    assert base64.b64decode(figure.data["image/png"]).startswith(b"\x89PNG")
    assert figure.data["text/plain"] == "MMoE at 0.5 (correlation 0.5, method MMoE, width 4)"
    assert figure.metadata["image/png"]["alt"] == figure.data["text/plain"]
    assert dials.data["text/plain"] == "Dials: correlation 0 … 1; method shared … MMoE; width 4 … 8"
    assert "Run this cell" in dials.data["text/html"]
    assert shell["calls"] == [(0.5, "MMoE", 4)]
    assert plt.get_fignums() == []


def test_numbers_get_sliders_and_names_a_dropdown(shell):
    correlation, method, width, _ = controls_of(shell.run(START + DIALS)[1])
    assert isinstance(correlation, SelectionSlider)
    assert isinstance(width, SelectionSlider)
    assert isinstance(method, Dropdown)
    assert [value for _, value in correlation.options] == [0, 0.25, 0.5, 0.75, 1]
    assert (correlation.value, method.value, width.value) == (0.5, "MMoE", 4)


def test_turning_a_dial_redraws_the_figure_in_place(shell):
    correlation, *_ = controls_of(shell.run(START + DIALS)[1])
    shell["dial"] = correlation
    [redrawn] = shell.run("dial.value = 0.75")
    assert redrawn.data["text/plain"].startswith("MMoE at 0.75")
    assert plt.get_fignums() == []


def test_error_after_turning_a_dial_is_shown_until_the_next_good_one(shell):
    figures = shell.run(START + "explore(draw, width=[4, 8, 16])")
    width, trouble = controls_of(figures[1])
    shell["dial"] = width
    assert shell.run("dial.value = 16") == []
    assert "ZeroDivisionError: too &lt;wide&gt;" in trouble.value
    shell.run("dial.value = 8")
    assert trouble.value == ""


def test_driven_notebook_draws_all_ends_and_raises(shell, monkeypatch):
    monkeypatch.setenv("MTL_TUTORIAL_DRIVE", "1")
    shell.run(START + DIALS)
    assert set(shell["calls"][1:]) == {(c, m, w) for c in (0, 1) for m in ("shared", "MMoE") for w in (4, 8)}
    assert plt.get_fignums() == []
    with pytest.raises(ZeroDivisionError):
        shell.run(START + "explore(draw, width=[4, 8, 16])")


def test_figure_may_be_left_as_the_current_one(shell):
    [figure, _] = shell.run("import matplotlib.pyplot as plt\nfrom mtl_tutorial.classroom import explore\n"
                            "def draw(n=1):\n    plt.plot([0, n])\nexplore(draw, n=(1, 3, 1))")
    assert figure.data["text/plain"] == "draw (n 1)"
    assert plt.get_fignums() == []


@pytest.mark.parametrize(("dials", "message"), [
    ("correlation=(0, 1, 0.3)", "dial 'correlation' starts at 0.5, which is not among its values"),
    ("depth=[1, 2]", "dial 'depth' needs a parameter of that name, with a default, in draw"),
    ("width=[]", "dial 'width' is \\[\\]; give a list of values, or \\(low, high, step\\)"),
    ("width=(8, 4, 1)", "dial 'width' is \\(8, 4, 1\\)"),
    ("width=4", "dial 'width' is 4"),
])
def test_dial_that_makes_no_sense_is_named(shell, dials, message):
    with pytest.raises(ValueError, match=message):
        shell.run(START + f"explore(draw, {dials})")

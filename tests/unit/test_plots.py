import io
from itertools import pairwise
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgb

from mtl_tutorial.classroom import finding, interval_plot
from mtl_tutorial.plots import COLOURS, LINES, MARKERS, chinese_fonts, use_style


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        use_style()
        yield
    plt.close("all")


def lightness(colour):
    red, green, blue = to_rgb(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_neighbouring_colours_differ_in_greyscale():
    assert all(abs(lightness(a) - lightness(b)) > 0.2 for a, b in pairwise(COLOURS))


def test_lines_differ_in_more_than_colour():
    fig, ax = plt.subplots()
    lines = [ax.plot([0, 1], [0, i])[0] for i in range(len(COLOURS))]
    assert len({line.get_marker() for line in lines}) == len(MARKERS) == len(COLOURS)
    assert len({str(line._unscaled_dash_pattern) for line in lines}) == len(LINES)
    ax.legend([str(i) for i in range(len(COLOURS))])
    fig.canvas.draw()


@pytest.mark.filterwarnings("error")
def test_figures_of_every_common_kind_can_be_drawn():
    fig, axes = plt.subplots(2, 3)
    axes[0, 0].semilogx([1, 10, 100], [1, 2, 3])
    axes[0, 1].errorbar([1, 2], [1, 2], yerr=[0.1, 0.2])
    axes[0, 2].bar(["a", "b"], [1, 2])
    axes[1, 0].hist([1, 1, 2])
    axes[1, 1].imshow([[1, 2], [3, 4]])
    axes[1, 2].scatter([1, 2], [-1, 2])
    finding(axes[0, 0], "Error falls with data", x="training rows", y="loss (nats)")
    assert axes[0, 0].get_xlabel() == "training rows"
    fig.savefig(io.BytesIO())


@pytest.mark.filterwarnings("error")
@pytest.mark.skipif(not chinese_fonts(), reason="no font with Chinese characters is installed")
def test_chinese_titles_have_glyphs():
    fig, ax = plt.subplots()
    finding(ax, "多任务学习 − multi-task")
    fig.savefig(io.BytesIO())


def test_interval_plot_has_a_row_per_method_from_the_top():
    _, ax = plt.subplots()
    methods = {"MMoE": SimpleNamespace(mean=0.2, low=0.1, high=0.3), "PLE": SimpleNamespace(mean=0, low=-1, high=1)}
    interval_plot(ax, methods)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["MMoE", "PLE"]
    assert ax.yaxis_inverted()
    assert [list(line.get_xdata()) for line in ax.lines] == [[0.1, 0.3], [0.2], [-1, 1], [0], [0, 0]]

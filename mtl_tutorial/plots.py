"""One look for all figures: readable, colour-blind safe, and still told apart in greyscale."""

from collections.abc import Mapping

import matplotlib as mpl
from cycler import cycler
from matplotlib import font_manager
from matplotlib.axes import Axes

# Paul Tol's contrast colours, dark and light in turn; line style and marker change along with them.
COLOURS = ("#004488", "#DDAA33", "#994455", "#6699CC", "#000000", "#EE99AA", "#997700")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
CHINESE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "PingFang SC", "SimHei")


def use_style() -> None:
    """Set matplotlib's defaults for the rest of the session."""
    mpl.rcParams.update({
        "figure.figsize": (7.0, 3.6),           # inches
        "figure.dpi": 90,
        "figure.constrained_layout.use": True,
        "font.size": 11,
        "font.family": ["DejaVu Sans", *chinese_fonts()],       # the second is used for what the first lacks
        "axes.unicode_minus": False,
        "axes.titlesize": 12,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "lines.linewidth": 2.0,
        "lines.markersize": 6,
        "legend.frameon": False,
        "axes.prop_cycle": (cycler(color=COLOURS) + cycler(linestyle=LINES) + cycler(marker=MARKERS)),
    })


def chinese_fonts() -> list[str]:
    """Return the first installed font with Chinese characters, as a list of one or none."""
    installed = set(font_manager.get_font_names())
    return [name for name in CHINESE_FONTS if name in installed][:1]


def finding(ax: Axes, title: str, x: str = "", y: str = "") -> Axes:
    """Give a plot its finding as a title, and its axes names with units ("training rows", "loss (nats)")."""
    ax.set(title=title, xlabel=x, ylabel=y)
    return ax


def interval_plot(ax: Axes, comparisons: Mapping[str, object], reference: float | None = 0.0) -> Axes:
    """Draw one row per method: its mean and its 95 % interval.

    Args:
        ax: where to draw.
        comparisons: method -> an object with ``mean``, ``low`` and ``high``; the first is drawn at the top.
        reference: where to draw the vertical line of "no difference"; None for no line.
    """
    for row, result in enumerate(comparisons.values()):
        colour, marker = COLOURS[row % len(COLOURS)], MARKERS[row % len(MARKERS)]
        ax.plot([result.low, result.high], [row, row], color=colour, linestyle="-", marker="|")
        ax.plot([result.mean], [row], color=colour, marker=marker)
    if reference is not None:
        ax.axvline(reference, color="0.4", linewidth=1, linestyle=":")
    ax.set_yticks(range(len(comparisons)), list(comparisons))
    ax.set_ylim(len(comparisons) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    return ax

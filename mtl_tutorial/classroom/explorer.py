"""``explore``: a figure with dials."""

import base64
import inspect
import io
import itertools
import os
import traceback
from collections.abc import Callable
from html import escape

import matplotlib.pyplot as plt
from IPython.display import display
from ipywidgets import HTML, Dropdown, Layout, SelectionSlider, VBox
from matplotlib.figure import Figure

from mtl_tutorial.classroom.markup import show_widget


def explore(draw: Callable[..., Figure | None], **dials: list | tuple) -> None:
    """Show the figure that ``draw`` makes of its defaults, and below it dials that redraw it.

    Under ``MTL_TUTORIAL_DRIVE=1`` every combination of the dials' ends is drawn too, and an error is raised.

    Args:
        draw: makes a figure of the dials' values and returns it, or leaves it as matplotlib's current one. Each
            dial starts at draw's own default for it. It should answer within 0.3 s.
        dials: one per parameter to turn: a list of values, or (low, high, step).

    Raises:
        ValueError: a dial is no parameter of ``draw`` with a default, or the default is not among its values.
    """
    values = {name: _values(name, dial) for name, dial in dials.items()}
    start = {name: _default(draw, name, options) for name, options in values.items()}
    data, metadata = _figure(draw, start)
    figure = display(data, metadata=metadata, raw=True, display_id=True)
    if os.environ.get("MTL_TUTORIAL_DRIVE") == "1":
        for ends in itertools.product(*((options[0], options[-1]) for options in values.values())):
            _figure(draw, dict(zip(values, ends, strict=True)))

    controls = {name: _control(name, options, start[name]) for name, options in values.items()}
    trouble = HTML()

    def redraw(_) -> None:
        try:
            data, metadata = _figure(draw, {name: control.value for name, control in controls.items()})
            figure.update(data, metadata=metadata, raw=True)
            trouble.value = ""
        except Exception as error:      # nothing would show an error raised in a widget's callback
            reason = escape(traceback.format_exception_only(error)[-1].strip())
            trouble.value = f"<b>This could not be drawn:</b> <code>{reason}</code>"

    for control in controls.values():
        control.observe(redraw, names="value")
    listed = "; ".join(f"{_words(name)} {_label(options[0])} … {_label(options[-1])}"
                       for name, options in values.items())
    show_widget(VBox([*controls.values(), trouble]), f"<i>Run this cell to turn the dials: {escape(listed)}</i>",
                f"Dials: {listed}")


def _values(name: str, dial: list | tuple) -> list:
    """Return all values of a dial."""
    if isinstance(dial, list) and dial:
        return dial
    if isinstance(dial, tuple) and len(dial) == 3 and dial[0] < dial[1] and dial[2] > 0:
        low, high, step = dial
        count = int((high - low) / step + 1e-9) + 1
        grid = [low + i * step for i in range(count)]
        return [round(value, 10) for value in grid]
    raise ValueError(f"dial {name!r} is {dial!r}; give a list of values, or (low, high, step)")


def _default(draw: Callable, name: str, options: list) -> object:
    """Return draw's default for a dial."""
    parameter = inspect.signature(draw).parameters.get(name)
    if parameter is None or parameter.default is inspect.Parameter.empty:
        raise ValueError(f"dial {name!r} needs a parameter of that name, with a default, in {draw.__name__}")
    if parameter.default not in options:
        raise ValueError(f"dial {name!r} starts at {parameter.default!r}, which is not among its values {options}")
    return options[options.index(parameter.default)]


def _control(name: str, options: list, start: object) -> Dropdown | SelectionSlider:
    """Return a slider for numbers, a dropdown for anything else."""
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in options)
    kind, settings = (SelectionSlider, {"continuous_update": False}) if numeric else (Dropdown, {})
    return kind(options=[(_label(value), value) for value in options], value=start, description=_words(name),
                style={"description_width": "9em"}, layout=Layout(width="32em"), **settings)


def _figure(draw: Callable, chosen: dict[str, object]) -> tuple[dict, dict]:
    """Draw, close the figure so that it is not shown twice, and return it as data and metadata to display."""
    before = set(plt.get_fignums())
    try:
        figure = draw(**chosen) or plt.gcf()
        png = io.BytesIO()
        figure.savefig(png, format="png")
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
    told = ", ".join(f"{_words(name)} {_label(value)}" for name, value in chosen.items())
    titles = "; ".join(filter(None, (axes.get_title(loc) for axes in figure.axes for loc in ("left", "center"))))
    alt = f"{titles or draw.__name__} ({told})" if told else titles or draw.__name__
    image = base64.b64encode(png.getvalue()).decode()
    return {"image/png": image, "text/plain": alt}, {"image/png": {"alt": alt}}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _label(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

"""What the classroom shows: one line, or a box that reads as plain text too."""

from collections.abc import Sequence
from html import escape

from IPython.display import display

# Colours come from the page, so that a box is readable in a light theme, a dark one and in print.
_BOX = "border:1px solid; border-left-width:6px; border-radius:3px; padding:0.4em 0.9em; max-width:60em"


def show_line(text: str, metadata: dict | None = None) -> None:
    """Display one line of plain text, with optional metadata for programs to read."""
    display({"text/plain": text}, raw=True, metadata=metadata or {})


def show_panel(heading: str, lines: Sequence[str] = ()) -> None:
    """Display a box: a heading and lines of text. Text between backticks is set as code."""
    plain = "\n".join([heading, *(f"  {line}" for line in "\n".join(lines).splitlines())])
    body = "".join(f"<div style='margin-top:0.3em; white-space:pre-wrap'>{_as_html(line)}</div>" for line in lines)
    html = f"<div style='{_BOX}'><b>{_as_html(heading)}</b>{body}</div>"
    display({"text/plain": plain, "text/html": html}, raw=True)


def show_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Display a small table of text, as HTML and as aligned plain text."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    titles, *body = ("".join(f"<{tag} style='text-align:left'>{escape(cell)}</{tag}>" for cell in row)
                     for tag, row in zip(["th"] + ["td"] * len(rows), cells, strict=True))
    html = (f"<table><caption style='text-align:left'><b>{escape(caption)}</b></caption>"
            f"<thead><tr>{titles}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in body)}</tbody></table>")
    display({"text/plain": "\n".join([caption, *lines]), "text/html": html}, raw=True)


def _as_html(text: str) -> str:
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:                 # an odd backtick out: leave the text alone
        return escape(text)
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))

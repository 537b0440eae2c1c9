"""Markdown of quizzes and cards to HTML, and widgets shown with a page that needs no kernel."""

from html import escape

import mistune
from IPython.display import display
from ipywidgets import Widget
from mistune.plugins.math import math
from mistune.plugins.table import table


def to_html(markdown: str) -> str:
    """Return Markdown as HTML; ``$...$`` and ``$$...$$`` are left for the page to typeset."""
    return _markdown(markdown).strip()


def to_inline_html(markdown: str) -> str:
    """Return a single paragraph of Markdown as HTML without the paragraph around it."""
    html = to_html(markdown)
    inner = html.removeprefix("<p>").removesuffix("</p>")
    return html if "<p>" in inner else inner


def show_widget(widget: Widget, html: str, plain: str) -> None:
    """Display a widget together with static HTML, which is what GitHub and a notebook without a kernel show."""
    view = widget._repr_mimebundle_()
    display({**view, "text/html": html, "text/plain": plain}, raw=True)


def _make_markdown() -> mistune.Markdown:
    markdown = mistune.create_markdown(plugins=[math, table])
    markdown.renderer.register("inline_math", lambda renderer, text: f"${escape(text)}$")
    markdown.renderer.register("block_math", lambda renderer, text: f"<div>$${escape(text)}$$</div>\n")
    return markdown


_markdown = _make_markdown()

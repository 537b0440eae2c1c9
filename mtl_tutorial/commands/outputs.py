"""What the outputs of a committed notebook may not hold."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from mtl_tutorial.bootstrap import ROOT
from mtl_tutorial.classroom.ledger import is_claim

WIDGET = "application/vnd.jupyter.widget-view+json"
OUTPUT_BYTES = 300_000
NOTEBOOK_BYTES = 1_500_000

_HERE = "|".join(re.escape(str(path)) for path in (ROOT, Path.home(), sys.prefix) if len(str(path)) > 3)
_PATH = re.compile(
    rf"(?<![\w./:~-])(?:(?:{_HERE})(?![\w-])|/(?:home|root|Users|tmp|var|usr|opt|mnt|private)/\w|[A-Za-z]:\\Users)"
)
_FETCHED = re.compile(r"""(?:\bsrc\s*=|<link\b[^>]*\bhref\s*=|!\[[^]]*\]\(|@import\s|\burl\()\s*["']?https?:""")


def output_faults(notebook: Mapping) -> list[str]:
    """Return a line for each fault in the outputs of an executed notebook, naming the cell by its prompt."""
    faults = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            faults += [f"In [{cell['execution_count']}]: {fault}" for fault in _faults(output)]
    if _size(notebook) > NOTEBOOK_BYTES:
        faults.append(f"the notebook is over {NOTEBOOK_BYTES // 1000} kB")
    return faults


def fetches(text: str) -> bool:
    """Whether a page that shows this HTML or Markdown would fetch something from the network."""
    return bool(_FETCHED.search(text))


def _faults(output: Mapping) -> Iterator[str]:
    if output["output_type"] == "error":
        yield f"raised {output['ename']}: {output['evalue']}"
        return
    if output.get("name") == "stderr":
        yield f"wrote to stderr: {_joined(output['text'])[:80]!r}"
    if WIDGET in output.get("data", {}):
        yield "holds a widget, which is dead in a file"
    if _size(output) > OUTPUT_BYTES:
        yield f"an output is over {OUTPUT_BYTES // 1000} kB"
    text = "\n".join(_texts(output))
    if path := _PATH.search(text):
        yield f"shows a path of this machine: {text[path.start() : path.start() + 40]!r}"
    if fetches(text):
        yield "fetches something from the network when shown"
    if not is_claim(output) and re.search(r"^\s*[✓✗]", text, re.MULTILINE):
        yield "begins a line with ✓ or ✗, which is for claims alone"


def _texts(output: Mapping) -> Iterator[str]:
    if "text" in output:
        yield _joined(output["text"])
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/"):
            yield _joined(content)


def _size(content: Mapping) -> int:
    return len(json.dumps(content, ensure_ascii=False).encode())


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)

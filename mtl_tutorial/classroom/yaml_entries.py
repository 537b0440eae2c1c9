"""Read a YAML list of entries, with errors that name the file, the entry and the field."""

from collections.abc import Iterator
from pathlib import Path

import yaml

LANGUAGES = ("en", "zh")


class ContentError(ValueError):
    """A lesson's YAML does not say what it should."""


class Entry:
    """One mapping of a YAML file that knows where it stands.

    Args:
        values: the mapping as read.
        place: file and entry, for the errors.
    """

    def __init__(self, values: object, place: str):
        if not isinstance(values, dict):
            raise ContentError(f"{place}: a mapping is needed, not {values!r}")
        self.place = f"{place} ({values['id']})" if "id" in values else place
        self._values = values

    def text(self, field: str) -> str:
        """Return a text that is not empty."""
        return self._typed(field, str, "text").strip()

    def flag(self, field: str) -> bool:
        """Return true or false."""
        return self._typed(field, bool, "true or false")

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a list of texts, none of them empty."""
        found = self._typed(field, list, "a list")
        if not all(isinstance(text, str) and text.strip() for text in found):
            raise ContentError(f"{self.place}: field {field!r} holds something that is not text")
        return tuple(text.strip() for text in found)

    def entries(self, field: str) -> "list[Entry]":
        """Return a list of mappings."""
        return [Entry(values, f"{self.place}, {field} {i}")
                for i, values in enumerate(self._typed(field, list, "a list"), 1)]

    def languages(self, field: str) -> "Entry":
        """Return a mapping that has exactly one value per language."""
        inner = Entry(self._typed(field, dict, "a mapping"), f"{self.place}, {field}")
        inner.only(*LANGUAGES)
        return inner

    def only(self, *fields: str) -> None:
        """Raise where a field is none of these, as a misspelt one would be."""
        surplus = [field for field in self._values if field not in fields]
        if surplus:
            raise ContentError(f"{self.place}: unknown field {surplus[0]!r}; fields are {', '.join(fields)}")

    def _typed(self, field: str, kind: type, wanted: str):
        if field not in self._values:
            raise ContentError(f"{self.place}: field {field!r} is missing")
        value = self._values[field]
        if not isinstance(value, kind) or value in ("", [], {}) or (kind is str and not value.strip()):
            raise ContentError(f"{self.place}: field {field!r} is {value!r}; {wanted} is needed")
        return value


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield the entries of a YAML list.

    Raises:
        FileNotFoundError: there is no such file.
        ContentError: it is not YAML, not a list, or two entries share an id.
    """
    place = f"{path.parent.name}/{path.name}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ContentError(f"{place}{where}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, list):
        raise ContentError(f"{place}: a list of entries is needed")
    seen = set()
    for number, values in enumerate(content, 1):
        entry = Entry(values, f"{place}, entry {number}")
        id = entry.text("id")
        if id in seen:
            raise ContentError(f"{entry.place}: an earlier entry has the same id")
        seen.add(id)
        yield entry

"""Which notebooks a command works on."""

from pathlib import Path


def chosen(folder: Path, numbers: list[str]) -> list[Path]:
    """Return the notebooks of a folder with these numbers, or all of them where no number is given.

    Raises:
        SystemExit: a number that no notebook has; the line lists those there are.
    """
    present = {path.name[:2]: path for path in sorted(folder.glob("*.ipynb"))}
    for number in numbers:
        if number not in present:
            raise SystemExit(f"mtl_tutorial: no notebook has the number {number}; there are: {', '.join(present)}")
    return [present[number] for number in numbers or present]

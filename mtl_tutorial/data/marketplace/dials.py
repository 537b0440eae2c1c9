"""Keep the dials of the shop within what it was made for."""

from __future__ import annotations


def check_dials(**dials: tuple[float, float, float]) -> None:
    """Refuse a dial out of its range, by its name.

    Args:
        dials: name = (value, lowest, highest), the ends included.

    Raises:
        ValueError: a value outside, or not a number.
    """
    for name, (value, low, high) in dials.items():
        if not low <= value <= high:
            raise ValueError(f"{name}={value} is outside {low} … {high}")

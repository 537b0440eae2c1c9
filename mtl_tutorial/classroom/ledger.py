"""The claims of an executed notebook, read back from its outputs."""

from collections.abc import Mapping


def claims_of(notebook: Mapping) -> list[dict]:
    """Return the claims that a notebook's outputs carry, in the order in which they were made.

    Args:
        notebook: an executed notebook, as nbformat or json reads it.

    Returns:
        One dict per claim: ``claim`` (its id), ``held``, ``value`` and ``expected``.
    """
    return [
        dict(output["metadata"]["mtl_tutorial"])
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if is_claim(output)
    ]


def is_claim(output: Mapping) -> bool:
    """Whether an output of a cell was displayed by ``claim``."""
    note = output.get("metadata", {}).get("mtl_tutorial", {})
    return output["output_type"] == "display_data" and "claim" in note

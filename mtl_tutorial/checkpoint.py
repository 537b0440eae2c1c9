"""Checkpoints: tensors in safetensors, the rest as JSON in its header, one file replaced in one step.

No pickle is written or read.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

FORMAT = "mtl_tutorial checkpoint 1"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and what to do."""


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping) -> None:
    """Write tensors and a JSON-able state; a reader sees the old file or the new one, never a part.

    Args:
        path: of the file; its folder is made if missing.
        tensors: name -> tensor, on any device.
        state: plain numbers, strings, lists and dicts.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    copies = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format)   # shared memory: refused
              for name, value in tensors.items()}
    content = save(copies, metadata={"format": FORMAT, "state": json.dumps(state)})
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Read what :func:`save_checkpoint` wrote.

    Raises:
        CheckpointError: a file that is damaged, cut short, or no checkpoint of ours. It is left as it is.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # clone: no tensor stays mapped to the file, which Windows would then not let us replace
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as a checkpoint ({error}); "
                              "it was left in place: move it away to start afresh") from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of mtl_tutorial (format {metadata.get('format')!r}, "
                              f"wanted {FORMAT!r}); it was left in place: move it away to start afresh")
    return tensors, json.loads(metadata["state"])

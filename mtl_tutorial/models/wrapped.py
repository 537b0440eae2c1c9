"""A model within a model that adds to it and is like it in all else."""

from __future__ import annotations

from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs


class Wrapped(nn.Module):
    """Base class: what a subclass does not define, such as the number of repeats or a penalty, is the model's.

    Args:
        model: what is wrapped; it is trained in place.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def __getattr__(self, name: str):
        """Find what this wrapper lacks in the model."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "model":
                raise
            return getattr(self.model, name)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return what the model emits."""
        return self.model(inputs)

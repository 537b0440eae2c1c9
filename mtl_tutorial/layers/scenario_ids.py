"""Refusing a scenario that a model does not have."""

from __future__ import annotations

import torch
from torch import Tensor


class _Known(torch.autograd.Function):
    """The ids as they are. A function of its own because under vmap only such a function sees their values."""

    @staticmethod
    def forward(scenario: Tensor, scenarios: int) -> Tensor:
        if scenario.device.type == "cpu" and scenario.numel():
            for worst in (int(bound) for bound in scenario.aminmax()):
                if not 0 <= worst < scenarios:
                    raise IndexError(f"scenario {worst} is outside 0 … {scenarios - 1}, the scenarios that the "
                                     "model was built for; Table.validate names the row")
        return scenario.clone()

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, None]:
        return None, None

    @staticmethod
    def vmap(info, in_dims, scenario: Tensor, scenarios: int) -> tuple[Tensor, int]:
        return _Known.apply(scenario, scenarios), in_dims[0]


def known_scenario(scenario: Tensor, scenarios: int) -> Tensor:
    """Return the scenario ids [B], of which none may be negative or too large.

    On a CPU alone: elsewhere a look at the ids would wait for the device, and an id that is too large ends in
    the device's own index error. ``Table.validate`` looks on every device.

    Raises:
        IndexError: an id outside 0 … S − 1.
    """
    return _Known.apply(scenario, scenarios)

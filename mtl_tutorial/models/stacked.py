"""R models of one architecture as one: repeats of an experiment for little more than the price of one."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from mtl_tutorial.data.table import Inputs
from mtl_tutorial.lazy_adam import NO_STACK, updates_sparsely


class Stacked(nn.Module):
    """R models with weights of their own, run by ``vmap`` as one batched computation.

    Every parameter gets a leading dimension R. Their losses are summed, so every model sees its own gradient
    alone; Adam works element by element, so each model learns exactly as it would by itself.

    Args:
        models: R modules of one architecture, each initialised on its own.

    Raises:
        ValueError: no model, models whose parameters differ in shape, or an embedding table with sparse updates.
    """

    def __init__(self, models: Sequence[nn.Module]):
        super().__init__()
        if not models:
            raise ValueError("nothing to stack: give at least one model")
        shapes = [{name: tuple(p.shape) for name, p in model.named_parameters()} for model in models]
        for position, found in enumerate(shapes):
            if found != shapes[0]:
                raise ValueError(f"model {position} has other parameters than model 0: "
                                 f"{sorted(set(found.items()) ^ set(shapes[0].items()))[:3]}")
        if updates_sparsely(models[0]):
            raise ValueError(f"{NO_STACK}, or take it back by sparse_updates(model, False)")
        parameters, buffers = stack_module_state(list(models))
        self.repeats = len(models)
        self.weights = nn.ParameterDict({_key(name): nn.Parameter(value.detach(), value.requires_grad)
                                         for name, value in parameters.items()})
        self.constants = nn.ParameterDict({_key(name): nn.Parameter(value, requires_grad=False)
                                           for name, value in buffers.items()})
        # The architecture alone, hidden from nn.Module's bookkeeping: its own weights are never used.
        object.__setattr__(self, "architecture", copy.deepcopy(models[0]).to("meta"))

    def models(self) -> list[nn.Module]:
        """Return the R models one by one, each with a copy of its weights, to be changed and stacked again."""
        return [self._model(r) for r in range(self.repeats)]

    def _model(self, repeat: int) -> nn.Module:
        model = copy.deepcopy(self.architecture).to_empty(device=next(self.parameters()).device)
        own = dict(itertools.chain(model.named_parameters(), model.named_buffers()))
        with torch.no_grad():
            for group in (self.weights, self.constants):
                for key, values in group.items():
                    own[_name(key)].copy_(values[repeat]).requires_grad_(values.requires_grad)
        return model

    @property
    def named_weights(self) -> dict[str, Tensor]:
        """Name in the architecture -> parameter of all R models, [R, …]."""
        return {_name(key): value for key, value in self.weights.items()}

    @property
    def named_constants(self) -> dict[str, Tensor]:
        """Name in the architecture -> buffer of all R models, [R, …]."""
        return {_name(key): value for key, value in self.constants.items()}

    def train(self, mode: bool = True) -> Stacked:
        """Switch all models between training and evaluation, dropout included."""
        self.architecture.train(mode)
        return super().train(mode)

    def _each(self, method: str, inputs: Inputs | Tensor) -> dict[str, Tensor] | Tensor:
        state = self.named_weights | self.named_constants
        target = self.architecture if method == "forward" else _Method(self.architecture, method)
        prefix = "" if method == "forward" else "module."

        def one(state: Mapping[str, Tensor], inputs: Inputs | Tensor) -> dict[str, Tensor] | Tensor:
            return functional_call(target, {prefix + name: value for name, value in state.items()}, (inputs,))

        return vmap(one, randomness="different")(state, inputs)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Map inputs [R, B, …] to task -> [R, B] or [R, B, C]."""
        return self._each("forward", inputs)

    def gate_weights(self, inputs: Inputs) -> Tensor:
        """Return the gates of all R models, [R, B, T, E]."""
        return self._each("gate_weights", inputs)

    def represent(self, inputs: Inputs) -> Tensor:
        """Return the vector that the towers of each model read, [R, B, 1, H]."""
        return self._each("represent", inputs)

    def read(self, representation: Tensor) -> dict[str, Tensor]:
        """Map the vectors [R, B, 1 or T, H] to task -> [R, B] or [R, B, C]."""
        return self._each("read", representation)

    def penalty(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return the penalty of each model [R], or zeros where the architecture has none."""
        if hasattr(self.architecture, "penalty"):
            return self.architecture.penalty(outputs)
        return torch.zeros(self.repeats)


class _Method(nn.Module):
    """A module's other method as its forward, so that ``functional_call`` can reach it."""

    def __init__(self, module: nn.Module, method: str):
        super().__init__()
        self.module, self.method = module, method

    def forward(self, inputs: Inputs | Tensor) -> dict[str, Tensor] | Tensor:
        return getattr(self.module, self.method)(inputs)


def _key(name: str) -> str:
    return name.replace(".", "/")       # nn.ParameterDict forbids dots


def _name(key: str) -> str:
    return key.replace("/", ".")

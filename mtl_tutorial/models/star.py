"""STAR: one centre network, bent into a network of its own for every scenario."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.grouped import group_rows, grouped_linear
from mtl_tutorial.layers.partitioned_norm import PartitionedNorm
from mtl_tutorial.layers.scenario_embedding import ScenarioEmbedding
from mtl_tutorial.layers.towers import by_task
from mtl_tutorial.tasks import Task


def compose_star_weights(shared_weight: Tensor, shared_bias: Tensor, own_weight: Tensor,
                         own_bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return each scenario's effective layer: weights multiplied element by element, biases added.

    Args:
        shared_weight: of the centre, [I, O].
        shared_bias: [O].
        own_weight: of each scenario, [S, I, O].
        own_bias: [S, O].

    Returns:
        Weights [S, I, O] and biases [S, O].

    Reference: Sheng et al. 2021, One Model to Serve All (STAR), equation 5.
    """
    return shared_weight * own_weight, shared_bias + own_bias


class StarLinear(nn.Module):
    """A linear layer of the star: the centre's weights, and a factor to each of them per scenario.

    The centre starts as ``torch.nn.Linear`` does. The paper does not say how the scenarios' own parts start; here
    at one (weights) and zero (biases), so that every scenario starts as the centre, and one that is never trained
    stays the centre.

    Args:
        scenarios: S.
        inputs, outputs: I and O.
    """

    def __init__(self, scenarios: int, inputs: int, outputs: int):
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.own_weight = nn.Parameter(torch.ones(scenarios, inputs, outputs))
        self.own_bias = nn.Parameter(torch.zeros(scenarios, outputs))

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        """Map sorted rows [B, I], with counts [S], to [B, O]."""
        weight, bias = compose_star_weights(self.weight, self.bias, self.own_weight, self.own_bias)
        return grouped_linear(x, weight, bias, counts)


class STAR(nn.Module):
    """Star topology: partitioned normalisation, a network per scenario around one centre, and an auxiliary one.

    The paper has one task; here the last layer of the star, and of the auxiliary network, emits the outputs of all.
    Logits are emitted; the paper's sigmoid of the sum is the loss's business.

    A scenario unseen in training is normalised by the statistics of all seen rows together and passes through the
    centre alone, while its vector in the auxiliary network is as it was initialised. (With weight decay the unseen
    scenarios' own parts shrink towards zero like all weights, and this no longer holds.) A scenario with fewer than
    two rows in a training batch: see :class:`~mtl_tutorial.layers.partitioned_norm.PartitionedNorm`.

    Args:
        schema: of the table.
        tasks: T tasks.
        dim: embedding dimension, of ids and of scenarios.
        widths: hidden layers of the star.
        auxiliary: hidden layers of the auxiliary network.

    Reference: Sheng et al. 2021, One Model to Serve All: Star Topology Adaptive Recommender for Multi-Domain CTR
    Prediction, section 3.
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], dim: int = 8,
                 widths: Sequence[int] = (128, 16), auxiliary: Sequence[int] = (16,)):
        super().__init__()
        self.tasks, self.scenarios = tuple(tasks), schema.scenarios
        outputs = sum(task.outputs for task in tasks)
        self.encoder = FeatureEncoder(schema, dim)
        self.norm = PartitionedNorm(schema.scenarios, self.encoder.width)
        sizes = [self.encoder.width, *widths]
        self.hidden = nn.ModuleList(StarLinear(schema.scenarios, *pair) for pair in itertools.pairwise(sizes))
        self.output = StarLinear(schema.scenarios, sizes[-1], outputs)
        self.scenario = ScenarioEmbedding(schema.scenarios, dim)
        self.auxiliary = Bank(1, dim + self.encoder.width, auxiliary)
        self.auxiliary_output = nn.Linear(self.auxiliary.width, outputs)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        groups = group_rows(inputs.scenario, self.scenarios)
        rows = groups.sort(inputs)
        x = self.encoder(rows)                                                          # [B, I]
        hidden = self.norm(x, rows.scenario)
        for layer in self.hidden:
            hidden = layer(hidden, groups.counts).relu()                                # [B, ·]
        main = self.output(hidden, groups.counts)                                       # [B, O]
        told = torch.cat([self.scenario(rows.scenario), x], -1)                         # [B, dim + I]
        auxiliary = self.auxiliary_output(self.auxiliary(told).squeeze(1))              # [B, O]
        return groups.unsort(by_task(self.tasks, main + auxiliary))

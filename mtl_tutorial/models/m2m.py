"""M2M: the scenario writes the weights of the attention over experts, and of the towers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.gates import mix_experts
from mtl_tutorial.layers.grouped import Groups, group_rows, grouped_bank_linear
from mtl_tutorial.layers.scenario_embedding import ScenarioEmbedding
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.tasks import Task


class MetaUnit(nn.Module):
    """T layers side by side whose weights are a linear function of what is known of the scenario.

    The weights are generated once per scenario, not once per row. They start near those of ``torch.nn.Linear``,
    which are the constant part of the function; what is known of the scenario then bends them.

    Args:
        knowledge: K, width of what is known of a scenario.
        members: T.
        inputs, outputs: I and O.

    Reference: Zhang et al. 2022, algorithm 1, with one layer.
    """

    def __init__(self, knowledge: int, members: int, inputs: int, outputs: int):
        super().__init__()
        self.shape = (members, inputs, outputs)
        self.weights = nn.Linear(knowledge, members * inputs * outputs)
        self.biases = nn.Linear(knowledge, members * outputs)
        bound = 1 / math.sqrt(inputs)
        for constant in (self.weights.bias, self.biases.bias):
            nn.init.uniform_(constant, -bound, bound)
        for slope in (self.weights.weight, self.biases.weight):
            nn.init.uniform_(slope, -bound / math.sqrt(knowledge), bound / math.sqrt(knowledge))

    def forward(self, x: Tensor, knowledge: Tensor, counts: Tensor) -> Tensor:
        """Map sorted rows [B, I] or [B, T, I], what is known [S, K] and counts [S] to [B, T, O]."""
        members, inputs, outputs = self.shape
        weight = self.weights(knowledge).unflatten(-1, (members, inputs, outputs))      # [S, T, I, O]
        bias = self.biases(knowledge).unflatten(-1, (members, outputs))                 # [S, T, O]
        return F.leaky_relu(grouped_bank_linear(x, weight, bias, counts))


class MetaAttention(nn.Module):
    """How much each task listens to each expert, by a unit that the scenario writes.

    Args:
        knowledge: K.
        width: H of experts and of tasks.
    """

    def __init__(self, knowledge: int, width: int):
        super().__init__()
        self.unit = MetaUnit(knowledge, 1, 2 * width, width)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, experts: Tensor, tasks: Tensor, knowledge: Tensor, counts: Tensor) -> Tensor:
        """Map experts of the sorted rows [B, E, H], tasks [T, H] and what is known [S, K] to logits [B, T, E]."""
        pairs = torch.cat(torch.broadcast_tensors(experts.unsqueeze(1), tasks.unsqueeze(1)), -1)    # [B, T, E, 2H]
        each = pairs.shape[1] * pairs.shape[2]
        scored = self.score(self.unit(pairs.flatten(0, 2), knowledge, counts * each))   # [B·T·E, 1, 1]
        return scored.flatten().unflatten(0, pairs.shape[:3])


class M2M(nn.Module):
    """Experts for all; the scenario generates how tasks attend to them and how towers read the mixture.

    What is known of a scenario is a learned vector. From it come, for all scenarios at once, the weights of the
    attention and those of every task's tower; a row then meets its own scenario's. A scenario unseen in training
    gets the weights that the generators make of its vector as it was initialised.

    Args:
        schema: of the table.
        tasks: T tasks.
        dim: embedding dimension, of ids, of tasks and of scenarios.
        experts: E.
        widths: hidden layers of each expert.
        knowledge: K, width of what is known of a scenario.
        depth: meta layers of each tower.

    Reference: Zhang et al. 2022, Leaving No One Behind: A Multi-Scenario Multi-Task Meta Learning Approach for
    Advertiser Modeling, section 4. Left out: the transformer over behaviour sequences below the experts, the
    advertiser's profile beside the scenario in what is known, meta units of several layers, and the Poisson
    likelihood (the outputs are logits, scored by each task's own loss).
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], dim: int = 8, experts: int = 4,
                 widths: Sequence[int] = (16,), knowledge: int = 8, depth: int = 1):
        super().__init__()
        self.scenarios = schema.scenarios
        self.encoder = FeatureEncoder(schema, dim)
        self.experts = Bank(experts, self.encoder.width, widths)
        width = self.experts.width
        self.task = nn.Parameter(torch.empty(len(tasks), dim).normal_(std=0.1))
        self.task_view = nn.Linear(dim, width)
        self.scenario = ScenarioEmbedding(schema.scenarios, dim)
        self.scenario_view = nn.Linear(dim, knowledge)
        self.attention = MetaAttention(knowledge, width)
        self.layers = nn.ModuleList(MetaUnit(knowledge, len(tasks), width, width) for _ in range(depth))
        self.towers = Towers(tasks, width, ())

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        groups = group_rows(inputs.scenario, self.scenarios)
        knowledge = self._knowledge()                                                   # [S, K]
        experts, logits = self._attend(groups, inputs, knowledge)
        mixed = mix_experts(experts, logits)                                            # [B, T, H]
        for layer in self.layers:
            mixed = F.leaky_relu(layer(mixed, knowledge, groups.counts) + mixed)
        return groups.unsort(self.towers(mixed))

    def gate_weights(self, inputs: Inputs) -> Tensor:
        """Return how much each task listens to each expert, [B, T, E], summing to 1."""
        groups = group_rows(inputs.scenario, self.scenarios)
        _, logits = self._attend(groups, inputs, self._knowledge())
        return logits.softmax(-1)[groups.inverse]

    def _knowledge(self) -> Tensor:
        return self.scenario_view(self.scenario.of_all()).relu()                        # [S, K]

    def _attend(self, groups: Groups, inputs: Inputs, knowledge: Tensor) -> tuple[Tensor, Tensor]:
        """Return the experts [B, E, H] and each task's attention logits [B, T, E], rows group by group."""
        experts = self.experts(self.encoder(groups.sort(inputs)))
        tasks = self.task_view(self.task).relu()                                        # [T, H]
        return experts, self.attention(experts, tasks, knowledge, groups.counts)

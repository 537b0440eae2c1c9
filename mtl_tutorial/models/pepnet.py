"""PEPNet: who and where a row is from scales what the network makes of it, layer by layer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import BankLinear
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.scenario_embedding import ScenarioEmbedding
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.tasks import Task


def prior_gate(prior: Tensor, embedding: Tensor, first: Callable[[Tensor], Tensor],
               second: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the factors δ = 2 · σ(second(relu(first([prior ‖ stop-gradient(embedding)])))), each in (0, 2).

    The gate reads the embedding, but does not teach it: no gradient flows into ``embedding``.

    Args:
        prior: what the row is to be told apart by, [B, P].
        embedding: of the row's features, [B, I].
        first: maps [B, P + I] to [B, G] (or [B, T, G], a gate per task).
        second: maps that to [B, H] (or [B, T, H]).

    Returns:
        [B, H] or [B, T, H].

    Reference: Chang et al. 2023, PEPNet: Parameter and Embedding Personalized Network, the gate neural unit.
    """
    told = torch.cat([prior, embedding.detach()], -1)                                   # [B, P + I]
    return 2 * second(first(told).relu()).sigmoid()


class PriorGate(nn.Module):
    """The gates of M members side by side, all from the same prior and embedding.

    Args:
        members: M.
        prior, embedding: P and I.
        hidden: G.
        outputs: H.
    """

    def __init__(self, members: int, prior: int, embedding: int, hidden: int, outputs: int):
        super().__init__()
        self.first = BankLinear(members, prior + embedding, hidden)
        self.second = BankLinear(members, hidden, outputs)

    def forward(self, prior: Tensor, embedding: Tensor) -> Tensor:
        """Map [B, P] and [B, I] to factors [B, M, H]."""
        return prior_gate(prior, embedding, self.first, self.second)


class GatedTowers(nn.Module):
    """A tower per task, each of whose hidden layers is scaled by a gate of its own (PPNet).

    Args:
        tasks: T tasks.
        prior: P.
        inputs: I, width of the towers' input.
        widths: of the towers' hidden layers.
        gate: width of each gate's hidden layer.
    """

    def __init__(self, tasks: Sequence[Task], prior: int, inputs: int, widths: Sequence[int], gate: int):
        super().__init__()
        sizes = [inputs, *widths]
        self.layers = nn.ModuleList(BankLinear(len(tasks), *pair) for pair in itertools.pairwise(sizes))
        self.gates = nn.ModuleList(PriorGate(len(tasks), prior, inputs, gate, width) for width in widths)
        self.output = Towers(tasks, sizes[-1], ())

    def forward(self, x: Tensor, prior: Tensor) -> dict[str, Tensor]:
        """Map [B, I] and the prior [B, P] to task -> [B] or [B, C]."""
        hidden = x
        for layer, gate in zip(self.layers, self.gates, strict=True):
            hidden = layer(hidden).relu() * gate(prior, x)                              # [B, T, ·]
        return self.output(hidden if self.layers else x.unsqueeze(1))


class PEPNet(nn.Module):
    """One network for all scenarios: the scenario scales its embeddings, user and item scale its hidden layers.

    EPNet's gate reads the scenario's vector, PPNet's gates the prior. A scenario unseen in training is gated by
    its vector as it was initialised, close to zero: by about the factors of no scenario in particular.

    Args:
        schema: of the table.
        tasks: T tasks.
        prior: positions of the fields that tell rows apart, such as user and item.
        dim: embedding dimension, of ids and of scenarios.
        widths: hidden layers of each task's tower.
        gate: width of each gate's hidden layer, which the paper leaves open.

    Raises:
        ValueError: a prior that is no field of the table.

    Reference: Chang et al. 2023, PEPNet: Parameter and Embedding Personalized Network for Infusing with
    Personalized Prior Information, section 3. Its engineering for training online is left out, and the scenario's
    prior is its vector alone, without statistics of the scenario.
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], prior: Sequence[int], dim: int = 8,
                 widths: Sequence[int] = (64, 16), gate: int = 16):
        super().__init__()
        unknown = [position for position in prior if not 0 <= position < len(schema.cardinalities)]
        if unknown:
            raise ValueError(f"prior field {unknown[0]} is none of the {len(schema.cardinalities)} fields; "
                             "give positions in schema.cardinalities")
        self.encoder = FeatureEncoder(schema, dim)
        self.scenario = ScenarioEmbedding(schema.scenarios, dim)
        columns = [position * dim + number for position in prior for number in range(dim)]
        self.register_buffer("prior_columns", torch.tensor(columns, dtype=torch.long), persistent=False)
        self.embedding_gate = PriorGate(1, dim, self.encoder.width, gate, self.encoder.width)
        self.towers = GatedTowers(tasks, len(columns), self.encoder.width, widths, gate)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        x = self.encoder(inputs)                                                        # [B, I]
        prior = x[:, self.prior_columns]                                                # [B, P], unscaled
        scaled = x * self.embedding_gate(self.scenario(inputs.scenario), x).squeeze(1)  # [B, I]
        return self.towers(scaled, prior)

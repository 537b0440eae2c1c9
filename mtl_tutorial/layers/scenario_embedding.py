"""A vector for each scenario."""

from __future__ import annotations

from torch import Tensor, nn

from mtl_tutorial.layers.features import FusedEmbedding
from mtl_tutorial.layers.scenario_ids import known_scenario


class ScenarioEmbedding(nn.Module):
    """What a model knows of a scenario: a learned vector.

    Args:
        scenarios: S.
        dim: numbers per scenario.
    """

    def __init__(self, scenarios: int, dim: int):
        super().__init__()
        self.scenarios = scenarios
        self.embedding = FusedEmbedding((scenarios,), dim)

    def forward(self, scenario: Tensor) -> Tensor:
        """Look up scenario ids [B] and return their vectors, [B, dim].

        Raises:
            IndexError: an id outside 0 … S − 1.
        """
        return self.embedding(known_scenario(scenario, self.scenarios).unsqueeze(-1)).squeeze(-2)

    def of_all(self) -> Tensor:
        """Return the vectors of all scenarios, [S, dim]."""
        return self.embedding.table.weight

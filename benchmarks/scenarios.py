"""What a training step costs as the number of scenarios grows, the rows staying as many."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.comparison import Form, Report, main
from benchmarks.report import milliseconds, ratio, table
from benchmarks.rounds import interleaved
from benchmarks.targets import Finding
from mtl_tutorial.data.table import Inputs, Schema, Table
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.models.scenario_towers import ScenarioTowers
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.star import STAR
from mtl_tutorial.tasks import Task, losses

TASKS = [Task("click"), Task("purchase")]
FIELDS, IDS, DIM, ROWS = 16, 10_000, 16, 4096
BODY, TOWER = (256, 128), (64,)
SCENARIOS = (2, 8, 32)


class EveryTower(nn.Module):
    """Scenario towers the wasteful way: every row through all towers, all outputs but its own dropped."""

    def __init__(self, schema: Schema):
        super().__init__()
        self.scenarios = schema.scenarios
        self.encoder = FeatureEncoder(schema, DIM)
        self.body = Bank(1, self.encoder.width, BODY)
        self.towers = Towers([Task(f"{task.name} {s}") for s in range(schema.scenarios) for task in TASKS],
                             self.body.width, TOWER)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        outputs = self.towers(self.body(self.encoder(inputs)))
        logits = torch.stack(list(outputs.values()), -1).unflatten(-1, (self.scenarios, len(TASKS)))    # [B, S, T]
        own = logits[torch.arange(len(logits)), inputs.scenario]                        # [B, T]
        return {task.name: logit for task, logit in zip(TASKS, own.unbind(-1), strict=True)}


MODELS = {
    "SharedBottom": lambda schema: SharedBottom(schema, TASKS, DIM, BODY, TOWER),
    "ScenarioTowers": lambda schema: ScenarioTowers(schema, TASKS, DIM, BODY, TOWER),
    "every row through every tower": EveryTower,
    "STAR": lambda schema: STAR(schema, TASKS, DIM, (*BODY, *TOWER), TOWER),
}


def draw(scenarios: int) -> Table:
    """Draw rows spread evenly over the scenarios, in random order."""
    ids = torch.randint(IDS, (ROWS, FIELDS))
    return Table(ids, (IDS,) * FIELDS, torch.zeros(ROWS, 0), scenarios=scenarios,
                 scenario=torch.randperm(ROWS) % scenarios,
                 targets={task.name: torch.rand(ROWS).round() for task in TASKS})


def training_step(model: nn.Module, batch: Table) -> Callable[[], None]:
    """Return a step of training: forward, losses, backward, Adam."""
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        losses(TASKS, model(batch.inputs), batch).sum().backward()
        optimizer.step()

    return step


def compare(form: Form) -> Report:
    """Time all models at all numbers of scenarios."""
    torch.manual_seed(0)
    steps = {}
    for scenarios in SCENARIOS:
        batch = draw(scenarios)
        steps |= {(name, scenarios): training_step(build(batch.schema), batch) for name, build in MODELS.items()}
    found = interleaved(steps, form.rounds)
    fewest, most = SCENARIOS[0], SCENARIOS[-1]
    over = {key: timing.over(found[key[0], fewest]) for key, timing in found.items()}
    rows = [[name, str(scenarios), milliseconds(found[name, scenarios]),
             f"{1e6 * found[name, scenarios].median / ROWS:.1f}", ratio(over[name, scenarios])]
            for name in MODELS for scenarios in SCENARIOS]
    result = table(["model", "scenarios", "ms per step", "µs per row", f"over {fewest} scenarios"], rows)
    findings = [Finding(f"{name}: {most} scenarios over {fewest}", over[name, most].median, ratio(over[name, most]))
                for name in ("ScenarioTowers", "STAR")]
    return Report(f"""\
A whole training step (forward, backward, Adam) of {ROWS} rows spread evenly over the scenarios: {FIELDS} fields of
{IDS} ids, dimension {DIM}, {len(TASKS)} tasks, body {list(BODY)}, towers {list(TOWER)}; STAR's star has all of
these layers. Medians of {form.rounds} interleaved rounds, quartiles in brackets; ratios are taken round by round.

{result}""", findings)


if __name__ == "__main__":
    main("Scenarios", __doc__, compare, rounds=20)

"""Trainings whose gradients an aggregator left: what Adam makes of them, model by model."""

import pytest
import torch

from mtl_tutorial.balancing.aggregator import Aggregator
from mtl_tutorial.balancing.conflict import ConflictWatch
from mtl_tutorial.balancing.scalarizer import Sum
from mtl_tutorial.data.table import Table
from mtl_tutorial.models.m2m import M2M
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.models.pepnet import PEPNet
from mtl_tutorial.models.per_scenario import PerScenario
from mtl_tutorial.models.ple import PLE
from mtl_tutorial.models.scenario_towers import ScenarioTowers
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.single_task import SingleTask
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.models.star import STAR
from mtl_tutorial.training import fit

BUILDERS = {
    "SharedBottom": lambda table, tasks: SharedBottom(table.schema, tasks, widths=(6,)),
    "SingleTask": lambda table, tasks: SingleTask(table.schema, tasks, widths=(6,)),
    "MMoE": lambda table, tasks: MMoE(table.schema, tasks, experts=3, widths=(6,)),
    "PLE": lambda table, tasks: PLE(table.schema, tasks, own=1, shared=1, widths=(6,)),
    "PerScenario": lambda table, tasks: PerScenario(table.schema, tasks, widths=(6,)),
    "ScenarioTowers": lambda table, tasks: ScenarioTowers(table.schema, tasks, widths=(6,)),
    "STAR": lambda table, tasks: STAR(table.schema, tasks, widths=(6,)),
    "PEPNet": lambda table, tasks: PEPNet(table.schema, tasks, prior=(0, 1), widths=(6,)),
    "M2M": lambda table, tasks: M2M(table.schema, tasks, experts=2, widths=(6,)),
}


class AllOnes(Aggregator):
    """The plain sum, by way of the tasks' gradients."""

    def weights(self, gramian):
        return torch.ones_like(gramian[..., 0])


def trained(name, tables, tasks, balance, stack):
    models = []
    for seed in range(len(tables)):
        torch.manual_seed(seed)
        models.append(BUILDERS[name](tables[0], tasks).double())
    model, rows = (Stacked(models), Table.stack(tables)) if stack else (models[0], tables[0])
    fit(model, rows, tasks, balance, epochs=3, batch_size=40, lr=0.01)
    return dict(model.state_dict())


@pytest.mark.parametrize("stack", [False, True])
@pytest.mark.parametrize("name", BUILDERS)
def test_weights_of_one_train_as_the_sum_does(name, stack, mixed_table, mixed_tasks):
    tables = [mixed_table(120, seed=seed, dtype=torch.float64, scenarios=3) for seed in range(2)]
    expected = trained(name, tables, mixed_tasks, Sum(), stack)
    for key, found in trained(name, tables, mixed_tasks, AllOnes(), stack).items():
        assert torch.allclose(found, expected[key], rtol=1e-7, atol=1e-9), key


def test_watching_leaves_running_statistics_as_they_are(mixed_table, mixed_tasks):
    tables = [mixed_table(120, dtype=torch.float64, scenarios=3)]
    expected = trained("STAR", tables, mixed_tasks, Sum(), stack=False)
    for key, found in trained("STAR", tables, mixed_tasks, ConflictWatch(every=1), stack=False).items():
        assert torch.equal(found, expected[key]), key

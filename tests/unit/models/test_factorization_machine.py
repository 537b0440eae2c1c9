import itertools

import pytest
import torch

from mtl_tutorial.data.table import Table
from mtl_tutorial.inference import outputs_of
from mtl_tutorial.models.factorization_machine import FactorizationMachine
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task

CLICK = Task("click")


def machine(table, seed=0):
    torch.manual_seed(seed)
    model = FactorizationMachine(table.schema, CLICK, dim=3).double()
    with torch.no_grad():
        model.bias.fill_(0.3)
    return model


def test_logit_is_the_double_sum_over_pairs(mixed_table):
    table = mixed_table(6, dtype=torch.float64)
    model = machine(table)
    found = outputs_of(model, table)["click"]
    starts = [0, *itertools.accumulate(table.cardinalities)]
    for row in range(6):
        ids = [start + i for start, i in zip(starts, table.categorical[row].tolist(), strict=False)]
        features = [(vector, 1.0) for vector in model.ids.table.weight[ids]]
        features += list(zip(model.numbers, table.numeric[row].tolist(), strict=True))
        expected = 0.3 + sum(x * vector[0].item() for vector, x in features)
        for (first, x), (second, z) in itertools.combinations(features, 2):
            expected += x * z * (first[1:] @ second[1:]).item()
        assert found[row].item() == pytest.approx(expected, abs=1e-12)


def test_numbers_alone_and_ids_alone_are_enough(mixed_table):
    table = mixed_table(6, dtype=torch.float64)
    numbers = Table.from_features(table.numeric)
    assert outputs_of(machine(numbers), numbers)["click"].shape == (6,)
    ids = Table(table.categorical, table.cardinalities, torch.zeros(6, 0, dtype=torch.float64))
    assert outputs_of(machine(ids), ids)["click"].shape == (6,)


def test_a_stack_emits_what_each_machine_emits(mixed_table):
    table = mixed_table(6, dtype=torch.float64)
    machines = [machine(table, seed) for seed in range(3)]
    together = outputs_of(Stacked(machines), table.repeat(3))["click"]
    for one, logits in zip(machines, together, strict=True):
        torch.testing.assert_close(logits, outputs_of(one, table)["click"], rtol=0, atol=1e-12)


def test_refuses_a_task_of_several_classes(mixed_table):
    with pytest.raises(ValueError, match="'segment' has 3 outputs, a factorization machine has one"):
        FactorizationMachine(mixed_table(2).schema, Task("segment", "multiclass", 3))

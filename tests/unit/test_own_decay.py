import pytest
import torch

from mtl_tutorial.data.table import Table
from mtl_tutorial.fusion.mutual_learning import MutualStudents, MutualTask
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.own_decay import OwnDecay
from mtl_tutorial.parameters import named_weights
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

CLICK = Task("click")


def table_and_models(mixed_table, count):
    table = Table.stack([mixed_table(100, seed=seed, dtype=torch.float64) for seed in range(2)])
    torch.manual_seed(0)
    return table, [SharedBottom(table.schema, [CLICK], widths=(6,)).double() for _ in range(count)]


def test_students_of_a_group_have_a_decay_each(mixed_table):
    table, models = table_and_models(mixed_table, 4)
    group = OwnDecay(MutualStudents(models, repeats=2), [0.0, 0.1, 0.2, 0.4])
    weights = named_weights(group.model)
    found = group.penalty(group(table.inputs))
    for m, decay in enumerate((0.0, 0.1, 0.2, 0.4)):
        expected = decay / 2 * sum(value[m].square().sum() for value in weights.values())
        torch.testing.assert_close(found[m], expected, rtol=1e-6, atol=0)
    fit(group, table, [MutualTask("click")], epochs=2, batch_size=40, lr=0.01, device="cpu")


class HeldAtZero(SharedBottom):
    def penalty(self, outputs):
        return outputs["click"].square().mean(-1)


def test_a_penalty_that_the_stack_has_is_added(mixed_table):
    table, _ = table_and_models(mixed_table, 2)
    stack = Stacked([HeldAtZero(table.schema, [CLICK], widths=(6,)).double() for _ in range(2)])
    outputs = stack(table.inputs)
    without, both = (OwnDecay(stack, decay).penalty(outputs) for decay in ([0.0, 0.0], [0.2, 0.4]))
    assert (without > 0).all()
    own = [decay / 2 * sum(value[m].square().sum() for value in stack.named_weights.values())
           for m, decay in enumerate((0.2, 0.4))]
    torch.testing.assert_close(both - without, torch.stack(own), rtol=1e-6, atol=0)


def test_decays_that_do_not_fit_are_refused(mixed_table):
    _, models = table_and_models(mixed_table, 2)
    with pytest.raises(ValueError, match=r"3 decays, the least 0\.1, for a stack of \[2\] models"):
        OwnDecay(Stacked(models), [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"the least -0\.1"):
        OwnDecay(Stacked(models), [0.1, -0.1])

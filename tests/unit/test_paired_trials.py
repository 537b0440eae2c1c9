import pytest
import torch

from mtl_tutorial.data.table import Table
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.own_decay import OwnDecay
from mtl_tutorial.paired_trials import PairedTrials
from mtl_tutorial.parameters import named_weights
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

CLICK = Task("click")
KNOBS = {"epochs": 2, "batch_size": 40, "lr": 0.01, "device": "cpu", "seed": 5}


def stack_of_repeats(mixed_table, repeats=2, rows=100):
    return Table.stack([mixed_table(rows, seed=seed, dtype=torch.float64) for seed in range(repeats)])


def models_of(table, count, seed=0):
    torch.manual_seed(seed)
    return [SharedBottom(table.schema, [CLICK], widths=(6,)).double() for _ in range(count)]


def test_trials_of_a_repeat_see_the_same_rows_in_the_same_order(mixed_table):
    table = stack_of_repeats(mixed_table)
    trials = PairedTrials.of([table] * 3)
    for generator in (torch.Generator().manual_seed(0), None):
        batches = torch.cat(list(trials.batches(40, generator)), -1).unflatten(0, (3, 2))           # [T, R, N]
        assert (batches == batches[0]).all()
        assert torch.equal(batches[0].sort(-1).values, torch.arange(100).expand(2, 100))
        assert (batches[0, 0] == batches[0, 1]).all() == (generator is None)


def test_each_trial_learns_as_if_it_were_alone(mixed_table):
    """Alone, a stack of repeats is given the very orders of the trials: they are drawn from the same numbers."""
    table = stack_of_repeats(mixed_table)
    models = models_of(table, 2)
    together = OwnDecay(Stacked(models * 3), [0.0, 0.0, 0.1, 0.1, 0.5, 0.5])
    fit(together, PairedTrials.of([table] * 3), [CLICK], **KNOBS)
    for trial, decay in enumerate((0.0, 0.1, 0.5)):
        alone = Stacked(models)
        fit(alone, table, [CLICK], weight_decay=decay, **KNOBS)
        for name, value in alone.named_weights.items():
            mine = named_weights(together)[name][2 * trial:2 * trial + 2]
            torch.testing.assert_close(mine, value, rtol=0, atol=1e-7)


def test_trials_may_differ_in_their_targets(mixed_table):
    table = stack_of_repeats(mixed_table)
    other = table.with_targets({**table.targets, "click": 1 - table.targets["click"]}, table.masks)
    trials = PairedTrials.of([table, other])
    assert torch.equal(trials.targets["click"][2:], 1 - trials.targets["click"][:2])
    kept = trials.only(["click"]).to("cpu")
    assert isinstance(kept, PairedTrials)
    assert kept.trials == 2


def test_refuses_what_cannot_stand_side_by_side(mixed_table):
    table = stack_of_repeats(mixed_table)
    with pytest.raises(ValueError, match="each a stack of repeats"):
        PairedTrials.of([mixed_table(10)])
    with pytest.raises(ValueError, match="each a stack of repeats"):
        PairedTrials.of([])
    with pytest.raises(ValueError, match=r"but they have \[\(2, 40\), \(2, 100\)\]"):
        PairedTrials.of([table, stack_of_repeats(mixed_table, rows=40)])

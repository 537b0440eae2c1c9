"""What is noted of the tasks' conflict during training."""

import pytest
import torch

from mtl_tutorial.balancing.conflict import ConflictWatch, cosines, gramian_at, magnitudes
from mtl_tutorial.balancing.scalarizer import Sum
from mtl_tutorial.data.marketplace import TASKS, simulate
from mtl_tutorial.data.table import Table
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.repeats import stacked
from mtl_tutorial.training import fit

FUNNEL = [TASKS[name] for name in ("click", "cart", "purchase")]


@pytest.fixture
def shop():
    return simulate(600, seed=1)


def build(shop):
    torch.manual_seed(0)
    return SharedBottom(shop.schema, FUNNEL, dim=2, widths=(6,), tower=())


def test_cosines_and_magnitudes_are_those_of_the_gradients():
    gradients = torch.randn(2, 3, 7, dtype=torch.float64)                               # [R, K, P]
    gramian = gradients @ gradients.mT
    unit = torch.nn.functional.normalize(gradients, dim=-1)
    torch.testing.assert_close(cosines(gramian), unit @ unit.mT)
    torch.testing.assert_close(magnitudes(gramian), gradients.norm(dim=-1))


def test_a_gradient_that_is_zero_is_at_right_angles_to_all():
    gramian = torch.tensor([[4.0, 0.0], [0.0, 0.0]])
    assert cosines(gramian).tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_watching_does_not_change_the_training(shop):
    models = build(shop), build(shop)
    for model, balance in zip(models, (Sum(), ConflictWatch(every=2)), strict=True):
        fit(model, shop, FUNNEL, balance, epochs=1, batch_size=100)
    for plain, watched in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(plain, watched)


def test_a_note_is_taken_every_so_many_steps(shop):
    watch = ConflictWatch(every=3)
    fit(build(shop), shop, FUNNEL, watch, epochs=1, batch_size=60)                      # 10 steps: 0, 3, 6, 9
    assert [note.shape for note in watch.gramians] == [(3, 3)] * 4


def test_the_first_note_is_the_gramian_before_the_first_step(shop):
    watch, model = ConflictWatch(every=100), build(shop)
    expected = gramian_at(model, FUNNEL, shop)
    fit(model, shop, FUNNEL, watch, epochs=1, batch_size=600)
    torch.testing.assert_close(watch.gramians[0], expected)


def test_a_stack_is_noted_repeat_by_repeat(shop):
    model, rows = stacked(lambda: SharedBottom(shop.schema, FUNNEL, dim=2, widths=(6,), tower=()), 2, 0), \
        Table.stack([shop.take(slice(0, 300)), shop.take(slice(300, 600))])
    found = gramian_at(model, FUNNEL, rows)
    one = SharedBottom(shop.schema, FUNNEL, dim=2, widths=(6,), tower=())
    one.load_state_dict({name.removeprefix("weights.").replace("/", "."): value[1]
                         for name, value in model.state_dict().items() if name.startswith("weights.")})
    torch.testing.assert_close(found[1], gramian_at(one, FUNNEL, shop.take(slice(300, 600))))


def test_the_share_of_conflicts_counts_inner_products_below_zero():
    watch = ConflictWatch()
    watch.gramians = [torch.tensor([[1.0, s], [s, 1.0]]) for s in (-0.5, 0.5, -0.1, 0.0)]
    assert watch.conflict_share().tolist() == [[0.0, 0.5], [0.5, 0.0]]

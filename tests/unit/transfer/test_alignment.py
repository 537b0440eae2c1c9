from dataclasses import replace

import pytest
import torch
from torch.func import grad, vmap

from mtl_tutorial.balancing.mgda import MGDA
from mtl_tutorial.data.table import Table
from mtl_tutorial.inference import outputs_of
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit
from mtl_tutorial.transfer.aligned import Aligned
from mtl_tutorial.transfer.coral import CORAL, coral_loss, recolour
from mtl_tutorial.transfer.dann import DANN, reversal_schedule, reverse_gradient
from mtl_tutorial.transfer.domains import join_domains
from mtl_tutorial.transfer.mmd import MMD, squared_mmd
from mtl_tutorial.transfer.transferability import proxy_a_distance

CLICK = [Task("click")]
DISCREPANCIES = {"CORAL": lambda: CORAL(2.0), "MMD": lambda: MMD(2.0), "DANN": lambda: DANN(6, steps=20)}
KNOBS = {"batch_size": 60, "lr": 0.01, "device": "cpu"}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def domains(rows=90, seed=0):
    """Return source and target: two numbers decide; in the target they are wider, and a third is shifted."""
    tables = []
    for scale, shift in ((1.0, 0.0), (2.0, 3.0)):
        x = normal(rows, 3, seed=seed + int(shift))
        click = (x[:, 0] - x[:, 1] > 0).double()
        tables.append(Table.from_features(torch.stack([scale * x[:, 0], scale * x[:, 1], x[:, 2] + shift], 1),
                                          targets={"click": click}))
    return tables


def build(schema, discrepancy, seed=0):
    torch.manual_seed(seed)
    return Aligned(SharedBottom(schema, CLICK, widths=(6,), tower=()), DISCREPANCIES[discrepancy]()).double()


# --- one table of two domains ------------------------------------------------------------------------------------

def test_labels_of_the_target_are_never_seen():
    source, target = domains()
    joint = join_domains(source, target)
    assert joint.mask("click").tolist() == [True] * 90 + [False] * 90
    assert joint.scenario.tolist() == [0] * 90 + [1] * 90
    assert not joint.targets["click"][90:].any()
    assert torch.equal(joint.numeric, torch.cat([source.numeric, target.numeric]))
    unlabelled = Table.from_features(target.numeric)
    assert torch.equal(join_domains(source, unlabelled).targets["click"], joint.targets["click"])


def test_truth_and_groups_of_the_source_are_left_behind():
    source, target = domains()
    told = replace(source, truth={"click": source.targets["click"]}, groups=torch.arange(90))
    joint = join_domains(told, target)
    assert joint.truth == {}
    assert joint.groups is None
    assert len(joint.take(torch.tensor([0, 179]))) == 2


def test_masks_of_the_source_are_kept():
    source, target = domains()
    observed = normal(90) > 0
    source = Table.from_features(source.numeric, targets=source.targets, masks={"click": observed})
    assert torch.equal(join_domains(source, target).mask("click")[:90], observed)


def test_stacks_are_joined_repeat_by_repeat():
    pairs = [domains(seed=seed) for seed in (0, 10)]
    joint = join_domains(*(Table.stack(tables) for tables in zip(*pairs, strict=True)))
    for repeat, pair in enumerate(pairs):
        alone = join_domains(*pair)
        assert torch.equal(joint.numeric[repeat], alone.numeric)
        assert torch.equal(joint.targets["click"][repeat], alone.targets["click"])


def test_target_of_other_columns_is_refused(mixed_table):
    source, target = domains()
    with pytest.raises(ValueError, match=r"the target has other columns: .* and 2 numbers, .* source has .* and 3"):
        join_domains(source, Table.from_features(target.numeric[:, :2]))
    table = mixed_table(20)
    other = Table(table.categorical, (5, 7), table.numeric, field_names=table.field_names)
    with pytest.raises(ValueError, match="field 'size' has 4 ids in the source and 7 in the target"):
        join_domains(table, other)
    with pytest.raises(ValueError, match="the source has repeats=2, the target repeats=None"):
        join_domains(source.repeat(2), target)


# --- CORAL with too few rows ------------------------------------------------------------------------------------

@pytest.mark.parametrize("targets", [0, 1, 2, 10, 11, 12])
def test_batch_with_fewer_than_two_rows_of_a_domain_is_not_penalised(targets):
    features = normal(12, 3).requires_grad_()
    loss = CORAL()(features, torch.arange(12) < targets)
    pull, = torch.autograd.grad(loss, features)
    assert (loss > 0) == (targets in (2, 10))
    assert pull.any() == (targets in (2, 10))


@pytest.mark.parametrize("of_whole_domains", [coral_loss, recolour])
def test_domain_of_one_row_has_no_covariance(of_whole_domains):
    with pytest.raises(ValueError, match="9 rows of the source and 1 of the target: a covariance needs two"):
        of_whole_domains(normal(9, 3), normal(1, 3))
    with pytest.raises(ValueError, match="1 rows of the source and 9 of the target: a covariance needs two"):
        of_whole_domains(normal(1, 3), normal(9, 3))


# --- gradient reversal -------------------------------------------------------------------------------------------

def test_reversal_is_the_identity_with_a_negated_gradient():
    x, pull = normal(4, 3).requires_grad_(), normal(4, 3, seed=1)
    y = reverse_gradient(x, 0.3)
    assert torch.equal(y, x)
    found, = torch.autograd.grad((y * pull).sum(), x)
    torch.testing.assert_close(found, -0.3 * pull)


def test_reversal_works_under_vmap_with_a_strength_for_each_repeat():
    x, strength = normal(5, 4, 3), torch.arange(5.0, dtype=torch.float64)
    found = vmap(grad(lambda x, s: reverse_gradient(x.square(), s).sum()))(x, strength)
    torch.testing.assert_close(found, -2 * strength[:, None, None] * x)
    x.requires_grad_()
    vmap(reverse_gradient)(x, strength).sum().backward()
    torch.testing.assert_close(x.grad, -strength[:, None, None].expand_as(x))


def test_schedule_begins_at_zero_and_ends_near_one():
    found = reversal_schedule(torch.linspace(0, 1, 11, dtype=torch.float64))
    assert found[0] == 0
    assert found[-1] == pytest.approx(2 / (1 + 2.718281828459045**-10) - 1)
    assert (found.diff() > 0).all()


def test_judge_learns_to_judge_and_the_body_to_hide():
    """One step down the loss: the judge's loss falls by its own step, and rises by the features'."""
    features, is_target = normal(40, 6).requires_grad_(), torch.arange(40) >= 25
    torch.manual_seed(0)
    dann = DANN(6, steps=10).double()
    dann(features, is_target)                                           # λ is 0 at the first step
    loss = dann(features, is_target)
    by_judge = torch.autograd.grad(loss, list(dann.judge.parameters()), retain_graph=True)
    by_features, = torch.autograd.grad(loss, features)
    assert dann(features - 0.5 * by_features / by_features.norm(), is_target) > loss
    with torch.no_grad():
        for parameter, gradient in zip(dann.judge.parameters(), by_judge, strict=True):
            parameter.sub_(0.1 * gradient)
    assert dann(features, is_target) < loss


def test_reversal_grows_with_the_steps_taken():
    features, is_target = normal(40, 6).requires_grad_(), torch.arange(40) >= 20
    torch.manual_seed(0)
    dann = DANN(6, steps=4, strength=0.5).double()
    size = [torch.autograd.grad(dann(features, is_target), features)[0].norm().item() for _ in range(7)]
    relative = torch.tensor(size) / size[4]
    expected = reversal_schedule(torch.tensor([0, 1, 2, 3, 4, 4, 4]) / 4) / reversal_schedule(torch.ones(()))
    torch.testing.assert_close(relative, expected, rtol=1e-6, atol=1e-9)


def test_both_domains_count_half():
    features = torch.cat([normal(5, 6), normal(5, 6).repeat(3, 1) + 2])
    torch.manual_seed(0)
    dann = DANN(6, steps=4).double()
    few = dann(features[:10], torch.arange(10) >= 5)
    torch.testing.assert_close(dann(features, torch.arange(20) >= 5), few)


# --- losses in a batch -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("discrepancy", ["CORAL", "MMD"])
@pytest.mark.parametrize("is_target", [[True] * 8, [False] * 8])
def test_batch_of_one_domain_has_nothing_to_align(discrepancy, is_target):
    features = normal(8, 6).requires_grad_()
    loss = DISCREPANCIES[discrepancy]()(features, torch.tensor(is_target))
    loss.backward()
    assert loss.item() == 0
    assert not features.grad.any()


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
@pytest.mark.parametrize("is_target", [[True] * 7 + [False], [False] * 8, [True, True] + [False] * 6])
def test_batch_of_few_or_equal_rows_gives_finite_gradients(discrepancy, is_target):
    for row in (normal(1, 6), torch.zeros(1, 6)):
        features = row.float().repeat(8, 1).requires_grad_()
        DISCREPANCIES[discrepancy]()(features, torch.tensor(is_target)).backward()
        assert features.grad.norm() < 10


def test_unbiased_mmd_of_equal_distributions_is_zero_in_the_mean_and_the_biased_is_not():
    found = {kind: torch.stack([squared_mmd(normal(20, 2, seed=s), normal(20, 2, seed=s + 500), 1.0, kind)
                                for s in range(100)]) for kind in (True, False)}
    assert found[True].mean().abs() < 3 * found[True].std() / 10
    assert found[False].mean() > 10 * found[False].std() / 10
    assert found[False].min() >= 0
    with pytest.raises(ValueError, match="needs two of each"):
        squared_mmd(normal(1, 2), normal(5, 2))


# --- training ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_evaluation_mode_is_the_model(discrepancy):
    source, target = domains()
    model = build(source.schema, discrepancy)
    found = outputs_of(model, target)
    assert found.keys() == {"click"}
    assert torch.equal(found["click"], outputs_of(model.model, target)["click"])


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_objective_is_the_source_loss_and_the_discrepancy(discrepancy):
    source, target = domains()
    joint = join_domains(source, target)
    model = build(joint.schema, discrepancy).train()
    outputs = model(joint.inputs)
    expected = model.discrepancy
    if discrepancy == "DANN":
        expected.steps_taken.zero_()
    features = model.represent(joint.inputs).squeeze(1)
    torch.testing.assert_close(model.penalty(outputs), expected(features, joint.scenario == 1))
    assert model.penalty(outputs) > 0


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_repeats_of_a_stack_learn_as_each_alone(discrepancy):
    joint = [join_domains(*domains(30, seed)) for seed in (0, 10)]
    models = [build(table.schema, discrepancy, seed) for seed, table in enumerate(joint)]
    stack = Stacked(models)
    fit(stack, Table.stack(joint), CLICK, epochs=15, **KNOBS)
    for repeat, (model, table) in enumerate(zip(models, joint, strict=True)):
        fit(model, table, CLICK, epochs=15, **KNOBS)
        for name, value in model.named_parameters():
            torch.testing.assert_close(stack.named_weights[name][repeat], value, rtol=1e-5, atol=1e-8)
    if discrepancy == "DANN":
        assert stack.named_constants["discrepancy.steps_taken"].tolist() == [15, 15]


@pytest.mark.parametrize("make", [CORAL, MMD, lambda strength: DANN(6, 20, strength=strength)])
def test_models_of_a_stack_keep_a_strength_each(make):
    joint, models = join_domains(*domains(30)), []
    for strength in (0.0, 4.0):
        torch.manual_seed(0)
        models.append(Aligned(SharedBottom(joint.schema, CLICK, widths=(6,), tower=()), make(strength)).double())
    stack = Stacked(models)
    fit(stack, joint.repeat(2), CLICK, epochs=15, **KNOBS)
    free, held = stack.named_weights["model.body.layers.0.weight"]
    assert (free - held).abs().max() > 1e-3
    assert stack.named_constants["discrepancy.strength"].tolist() == [0, 4]


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_training_draws_the_domains_together(discrepancy):
    """The distance of the features falls against training on the source alone."""
    source, target = domains(600)
    joint, distance = join_domains(source, target), {}
    for name in ("source only", discrepancy):
        model = build(joint.schema, discrepancy)
        fit(model.model if name == "source only" else model, joint, CLICK, epochs=60, batch_size=200, lr=0.01,
            device="cpu")
        with torch.no_grad():
            one, other = (model.represent(table.inputs).squeeze(1) for table in (source, target))
        measure = {"CORAL": coral_loss, "MMD": squared_mmd}.get(discrepancy, proxy_a_distance)
        distance[name] = float(measure(one, other))
    assert distance[discrepancy] < 0.7 * distance["source only"]


def test_model_without_one_vector_is_refused():
    source, _ = domains()
    with pytest.raises(TypeError, match=r"MMoE offers no single vector .* nothing to align"):
        Aligned(MMoE(source.schema, CLICK, experts=2), CORAL())


def test_aggregator_at_the_representation_is_told_where_the_discrepancy_is_lost():
    joint = join_domains(*domains())
    tasks = [Task("click"), Task("again")]
    joint = joint.with_targets({"click": joint.targets["click"], "again": joint.targets["click"]})
    model = Aligned(SharedBottom(joint.schema, tasks, widths=(6,)).double(), CORAL())
    with pytest.raises(ValueError, match=r"the outputs hold no discrepancy: .* use at='parameters'"):
        fit(model, joint, tasks, MGDA(at="representation"), **KNOBS)
    fit(model, joint, tasks, MGDA(at="parameters"), **KNOBS)

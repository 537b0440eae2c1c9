import pytest
import torch

from mtl_tutorial.balancing.mgda import MGDA
from mtl_tutorial.data.table import Table
from mtl_tutorial.inference import outputs_of
from mtl_tutorial.models.aitm import AITM
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.parameters import trained_parameters
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit
from mtl_tutorial.transfer.freezing import freeze
from mtl_tutorial.transfer.l2_sp import L2SP, l2_sp_penalty

KNOBS = {"batch_size": 50, "lr": 0.01, "device": "cpu"}


def build(table, tasks, seed=0):
    torch.manual_seed(seed)
    return SharedBottom(table.schema, tasks, widths=(16,)).double()


def distance(model, start):
    return sum((value - start[name]).square().sum() for name, value in model.state_dict().items()).sqrt()


def test_penalty_is_half_alpha_to_the_start_and_half_beta_to_zero():
    weights = {"body": torch.tensor([1.0, 2.0]), "head": torch.tensor([[3.0], [-1.0]])}
    found = l2_sp_penalty(weights, {"body": torch.tensor([0.0, 4.0])}, alpha=0.4, beta=0.2)
    assert found.item() == pytest.approx(0.2 * (1 + 4) + 0.1 * (9 + 1))


def test_penalty_pulls_pretrained_weights_to_the_start_and_new_ones_to_zero(mixed_table, mixed_tasks):
    table = mixed_table(dtype=torch.float64)
    model = build(table, mixed_tasks)
    held = L2SP(model, alpha=0.3, beta=0.7, new=("towers",))
    start = {name: value.detach().clone() for name, value in model.named_parameters()}
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    held.penalty(held(table.inputs)).backward()
    for name, value in model.named_parameters():
        expected = 0.7 * value if name.startswith("towers") else 0.3 * (value - start[name])
        torch.testing.assert_close(value.grad, expected.detach())


def test_training_stays_the_nearer_the_start_the_stronger_the_pull(mixed_table, mixed_tasks):
    table, found = mixed_table(dtype=torch.float64), []
    for alpha in (0.0, 1.0, 100.0):
        model = build(table, mixed_tasks)
        start = {name: value.clone() for name, value in model.state_dict().items()}
        fit(L2SP(model, alpha, beta=0.0), table, mixed_tasks, epochs=5, **KNOBS)
        found.append(distance(model, start))
    assert found[0] > 2 * found[1] > 4 * found[2] > 0


def test_without_pull_the_model_trains_to_the_same_bits(mixed_table, mixed_tasks):
    table = mixed_table(dtype=torch.float64)
    held, free = build(table, mixed_tasks), build(table, mixed_tasks)
    fit(L2SP(held, 0.0, 0.0), table, mixed_tasks, **KNOBS)
    fit(free, table, mixed_tasks, **KNOBS)
    assert all(torch.equal(value, free.state_dict()[name]) for name, value in held.state_dict().items())


@pytest.mark.parametrize("validate", [False, True])
def test_each_repeat_of_a_stack_is_held_to_its_own_start(validate, mixed_table, mixed_tasks):
    tables = [mixed_table(100, seed, dtype=torch.float64) for seed in (0, 1)]
    knobs = {**KNOBS, "batch_size": 100, "epochs": 4}
    models = [build(table, mixed_tasks, seed) for seed, table in enumerate(tables)]
    stack = Stacked(models)

    def train(model, rows):
        held = L2SP(model, 2.0, 0.5, new=("towers",))
        fit(held, rows, mixed_tasks, validation=rows if validate else None, **knobs)

    train(stack, Table.stack(tables))
    for repeat, (model, table) in enumerate(zip(models, tables, strict=True)):
        train(model, table)
        for name, value in model.named_parameters():
            torch.testing.assert_close(stack.named_weights[name][repeat], value, rtol=1e-6, atol=1e-9)


def test_wrapper_is_the_model_in_all_but_the_penalty(mixed_table, mixed_tasks):
    table = mixed_table(dtype=torch.float64)
    model = build(table, mixed_tasks)
    held = L2SP(model, 1.0, 1.0)
    for name, value in outputs_of(held, table).items():
        torch.testing.assert_close(value, outputs_of(model, table)[name], rtol=0, atol=0)
    assert torch.equal(held.represent(table.inputs), model.represent(table.inputs))
    assert not hasattr(held, "gate_weights")
    freeze(held, "encoder")
    assert trained_parameters(held) == trained_parameters(model) < sum(p.numel() for p in model.parameters())
    fit(held, table, mixed_tasks, MGDA(at="representation"), **{**KNOBS, "lr": {"body": 0.01, "towers": 0.1}})


def test_penalty_of_the_model_itself_is_kept():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 4, generator=generator)
    clicks = (x[:, 0] > 0).float()
    table = Table.from_features(x, targets={"click": clicks, "purchase": clicks})
    torch.manual_seed(0)
    model = AITM(table.schema, [Task("click"), Task("purchase")])
    outputs = model(table.inputs)
    assert L2SP(model, 1.0, 0.0).penalty(outputs).item() == pytest.approx(model.penalty(outputs).sum().item())


def test_penalties_of_a_stack_are_summed():
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    clicks = (x[:, 0] > 0).float()
    table = Table.from_features(x, targets={"click": clicks, "purchase": clicks})
    torch.manual_seed(0)
    models = [AITM(table.schema, [Task("click"), Task("purchase")]) for _ in range(3)]
    alone = [model.penalty(model(table.inputs)).sum().item() for model in models]
    assert min(alone) > 0
    stack = Stacked(models)
    assert L2SP(stack, 1.0, 0.0).penalty(stack(table.repeat(3).inputs)).item() == pytest.approx(sum(alone))


def test_unknown_prefix_and_negative_strength_are_refused(mixed_table, mixed_tasks):
    model = build(mixed_table(), mixed_tasks)
    with pytest.raises(ValueError, match="no parameter is called 'head'"):
        L2SP(model, 1.0, 1.0, new=("head",))
    with pytest.raises(ValueError, match="neither may be negative"):
        L2SP(model, -1.0, 1.0)

import pytest
import torch
from torch import nn

from mtl_tutorial.data.table import Table
from mtl_tutorial.inference import outputs_of
from mtl_tutorial.layers.bank import BankLinear
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.parameters import trained_parameters
from mtl_tutorial.training import fit
from mtl_tutorial.transfer.adapter import Adapter, with_adapters
from mtl_tutorial.transfer.lora import LoRALinear, lora_forward, merge_lora, merged, with_lora

KNOBS = {"epochs": 2, "batch_size": 50, "lr": 0.01, "device": "cpu"}
LAYERS = {"linear": lambda: nn.Linear(5, 4), "linear without bias": lambda: nn.Linear(5, 4, bias=False),
          "bank": lambda: BankLinear(3, 5, 4), "bank without bias": lambda: BankLinear(3, 5, 4, bias=False)}
WITH = {"LoRA": with_lora, "adapters": with_adapters}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(table, tasks, seed=0):
    torch.manual_seed(seed)
    return SharedBottom(table.schema, tasks, widths=(16, 8)).double()


def shaken(module):
    """Move every trained parameter, so that no update is zero."""
    with torch.no_grad():
        for seed, parameter in enumerate(module.parameters()):
            if parameter.requires_grad:
                parameter.add_(0.3 * normal(*parameter.shape, seed=seed))
    return module


def assert_equal_outputs(one, other, table, tolerance=1e-12):
    found, expected = outputs_of(one, table), outputs_of(other, table)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=tolerance)


def differ(one, other, table):
    found, expected = outputs_of(one, table), outputs_of(other, table)
    return all((value - expected[name]).abs().max() > 1e-3 for name, value in found.items())


# --- one layer -------------------------------------------------------------------------------------------------

def test_forward_is_the_layer_plus_the_scaled_product():
    x, weight, bias, down, up = normal(6, 5), normal(5, 4), normal(4), normal(5, 2), normal(2, 4)
    expected = [[sum(x[n, i] * weight[i, o] for i in range(5)) + bias[o]
                 + 8 / 2 * sum(x[n, i] * down[i, r] * up[r, o] for i in range(5) for r in range(2))
                 for o in range(4)] for n in range(6)]
    torch.testing.assert_close(lora_forward(x, weight, bias, down, up, 8.0), torch.tensor(expected))
    torch.testing.assert_close(x @ merge_lora(weight, down, up, 8.0) + bias, torch.tensor(expected))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("wrap", [LoRALinear, Adapter])
@pytest.mark.parametrize("shape", [(7, 5), (7, 3, 5)])
def test_wrapped_layer_starts_as_the_layer(layer, wrap, shape):
    base, x = LAYERS[layer]().double(), normal(*shape)
    expected = base(x)
    module = wrap(base, 2)
    assert torch.equal(module(x), expected)
    assert (shaken(module)(x) - expected).abs().max() > 0.01


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", [(7, 5), (7, 3, 5)])
def test_merged_layer_computes_the_same(layer, shape):
    module = shaken(LoRALinear(LAYERS[layer]().double(), rank=2, alpha=3.0))
    one, x = module.merge(), normal(*shape)
    assert type(one) is type(module.base)
    torch.testing.assert_close(one(x), module(x), rtol=0, atol=1e-12)
    assert all(parameter.requires_grad for parameter in one.parameters())
    assert not any(parameter.requires_grad for parameter in module.base.parameters())


def test_members_of_a_bank_have_updates_of_their_own():
    module, x = shaken(LoRALinear(BankLinear(3, 5, 4).double(), rank=2, alpha=3.0)), normal(7, 5)
    expected = torch.stack([lora_forward(x, module.base.weight[member], module.base.bias[member],
                                         module.down.weight[member], module.up.weight[member], 3.0)
                            for member in range(3)], 1)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)


def test_adapter_is_a_bottleneck_with_a_bypass():
    module, x = shaken(Adapter(nn.Linear(5, 4).double(), 2)), normal(7, 5)
    y = x @ module.base.weight.T + module.base.bias
    hidden = (y @ module.down.weight.T + module.down.bias).clamp(min=0)
    torch.testing.assert_close(module(x), y + hidden @ module.up.weight.T + module.up.bias)


def test_update_has_the_rank_it_was_given():
    module = shaken(LoRALinear(nn.Linear(20, 20).double(), rank=3, alpha=3.0))
    change = module.merge().weight - module.base.weight
    assert torch.linalg.matrix_rank(change) == 3


def test_empty_update_is_refused():
    with pytest.raises(ValueError, match="rank=0"):
        LoRALinear(nn.Linear(3, 2), rank=0)
    with pytest.raises(ValueError, match="bottleneck=0"):
        Adapter(nn.Linear(3, 2), bottleneck=0)


# --- a whole model ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", WITH)
def test_wrapped_model_starts_as_the_model_which_stays_as_it_is(method, mixed_table, mixed_tasks):
    table = mixed_table(dtype=torch.float64)
    model = build(table, mixed_tasks)
    before = outputs_of(model, table)
    updated = WITH[method](model, 2)
    assert_equal_outputs(updated, model, table, 0)
    fit(updated, table, mixed_tasks, **KNOBS)
    assert differ(updated, model, table)
    assert all(torch.equal(value, before[name]) for name, value in outputs_of(model, table).items())
    assert trained_parameters(model) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("method", WITH)
def test_frozen_weights_stay_and_everything_else_moves(method, mixed_table, mixed_tasks):
    table = mixed_table(dtype=torch.float64)
    updated = WITH[method](build(table, mixed_tasks), 2)
    before = {name: value.clone() for name, value in updated.state_dict().items()}
    fit(updated, table, mixed_tasks, **KNOBS)
    moved = {name for name, value in updated.state_dict().items() if not torch.equal(value, before[name])}
    frozen = {name for name in before if ".base." in name or name.startswith("encoder")}
    assert frozen
    assert moved == before.keys() - frozen


def test_trained_parameters_are_those_of_updates_and_heads(mixed_table, mixed_tasks):
    table = mixed_table()
    model = build(table, mixed_tasks)
    heads = 3 * (8 * 16 + 16) + 5 * 16 + 5
    body = 2 * (19 + 16) + 2 * (16 + 8)
    assert trained_parameters(with_lora(model, 2)) == heads + body
    assert trained_parameters(with_lora(model, 2, train=())) == body
    assert trained_parameters(with_lora(model, 2, inside=("",), train=())) == body + 2 * 3 * (8 + 16)
    assert trained_parameters(with_lora(model, 2, inside=("body.layers.1",), train=())) == 2 * (16 + 8)
    assert trained_parameters(with_adapters(model, 2, train=())) == 2 * 2 * 16 + 2 + 16 + 2 * 2 * 8 + 2 + 8


@pytest.mark.parametrize("repeats", [None, 2])
def test_merged_model_has_the_old_architecture_and_computes_the_same(repeats, mixed_table, mixed_tasks):
    table = mixed_table(dtype=torch.float64)
    model, rows = build(table, mixed_tasks), table
    if repeats:
        model, rows = Stacked([model, build(table, mixed_tasks, 1)]), table.repeat(repeats)
    updated = with_lora(model, 2, inside=("body", "towers"))
    fit(updated, rows, mixed_tasks, **KNOBS)
    one = merged(updated)
    assert [(name, value.shape) for name, value in one.state_dict().items()] == \
        [(name, value.shape) for name, value in model.state_dict().items()]
    assert_equal_outputs(one, updated, rows)
    assert differ(one, model, rows)
    assert trained_parameters(one) == trained_parameters(model)


@pytest.mark.parametrize("method", WITH)
def test_repeats_of_a_stack_learn_as_each_alone(method, mixed_table, mixed_tasks):
    tables = [mixed_table(100, seed, dtype=torch.float64) for seed in (0, 1)]
    stack = WITH[method](Stacked([build(table, mixed_tasks, seed) for seed, table in enumerate(tables)]), 2)
    models = stack.models()
    first, second = (value for name, value in stack.named_weights.items() if name == "body.layers.0.down.weight"
                     for value in value)
    assert not torch.equal(first, second), "each repeat draws an update of its own"
    knobs = {**KNOBS, "batch_size": 100}
    fit(stack, Table.stack(tables), mixed_tasks, **knobs)
    for repeat, (model, table) in enumerate(zip(models, tables, strict=True)):
        fit(model, table, mixed_tasks, **knobs)
        for name, value in model.named_parameters():
            torch.testing.assert_close(stack.named_weights[name][repeat], value, rtol=1e-6, atol=1e-9)


def test_experts_of_a_mixture_can_be_updated(mixed_table, mixed_tasks):
    table = mixed_table(dtype=torch.float64)
    torch.manual_seed(0)
    model = MMoE(table.schema, mixed_tasks, experts=3).double()
    updated = with_lora(model, 2, inside=("experts", "gate"))
    fit(updated, table, mixed_tasks, **KNOBS)
    assert_equal_outputs(merged(updated), updated, table)
    assert differ(updated, model, table)


def test_part_without_a_linear_layer_is_told_where_they_are(mixed_table, mixed_tasks):
    model = build(mixed_table(), mixed_tasks)
    with pytest.raises(ValueError, match=r"no linear layer inside 'encoder'; linear layers are body.layers.0, "):
        with_lora(model, inside=("encoder",))
    with pytest.raises(ValueError, match="no parameter is called 'head'"):
        with_adapters(model, train=("head",))
    with pytest.raises(ValueError, match="SharedBottom has no LoRALinear: there is nothing to merge"):
        merged(model)

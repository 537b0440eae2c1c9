"""LoRA against peft on the same linear layer with copied weights, in float64."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from mtl_tutorial.transfer.lora import LoRALinear


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=[(2, 8.0, True), (4, 3.0, True), (3, 3.0, False)], ids=lambda part: f"rank {part[0]}")
def pair(request):
    """The same layer with the same update, ours and theirs."""
    rank, alpha, bias = request.param
    theirs = get_peft_model(nn.Sequential(nn.Linear(6, 5, bias=bias)).double(),
                            LoraConfig(r=rank, lora_alpha=alpha, target_modules=["0"], lora_dropout=0.0))
    layer = theirs.base_model.model[0]
    base = nn.Linear(6, 5, bias=bias).double()
    base.load_state_dict(layer.base_layer.state_dict())
    ours = LoRALinear(base, rank, alpha)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert not up.any(), "both start as the layer"
    with torch.no_grad():
        for own, other, seed in ((ours.down.weight, down, 1), (ours.up.weight, up, 2)):
            other.copy_(normal(*other.shape, seed=seed))
            own.copy_(other)
    return ours, theirs, layer


def assert_equal(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_forward_and_gradients(pair):
    ours, theirs, layer = pair
    x, pull = normal(7, 6, seed=3).requires_grad_(), normal(7, 5, seed=4)
    outputs = ours(x), theirs(x)
    assert_equal(*outputs)
    assert (outputs[0] - ours.base(x)).abs().max() > 0.1
    gradients = [torch.autograd.grad((output * pull).sum(), [x, *weights]) for output, weights in
                 ((outputs[0], [ours.down.weight, ours.up.weight]),
                  (outputs[1], [layer.lora_A["default"].weight, layer.lora_B["default"].weight]))]
    for found, expected in zip(*gradients, strict=True):
        assert_equal(found, expected)
        assert expected.abs().max() > 0.1


def test_what_is_trained(pair):
    ours, theirs, _ = pair
    count = [sum(p.numel() for p in model.parameters() if p.requires_grad) for model in (ours, theirs)]
    assert count[0] == count[1] > 0


def test_merge(pair):
    ours, theirs, _ = pair
    x = normal(7, 6, seed=5)
    merged = theirs.merge_and_unload()[0]
    assert_equal(ours.merge().weight, merged.weight)
    assert_equal(ours.merge()(x), merged(x))

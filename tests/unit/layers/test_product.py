import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mtl_tutorial.layers import product
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.product import affine, chains

SHAPES = {"one layer": ((64, 48), (48, 32), (32,)), "side by side": ((64, 3, 48), (3, 48, 32), (3, 32)),
          "one member": ((64, 1, 48), (1, 48, 32), (1, 32))}


@pytest.fixture
def by_onednn(monkeypatch):
    """Take oneDNN for every size but none, whatever the processor; skip where torch has no such operator."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN linear operator")
    calls = []
    apply = product._Affine.apply
    monkeypatch.setattr(product, "PAYS", 1)
    monkeypatch.setattr(product, "_is_faster", lambda dtype: dtype in (torch.float32, torch.bfloat16))
    monkeypatch.setattr(product._Affine, "apply", lambda *operands: calls.append(1) or apply(*operands))
    return calls


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def operands(shapes, bias=True):
    x, weight, offsets = (drawn(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes))
    return x, weight, offsets if bias else None


def plain(x, weight, bias, relu):
    wide = [each.double() if each is not None else None for each in (x, weight, bias)]
    found = wide[0] @ wide[1] if x.dim() == 2 else torch.einsum("nei,eio->neo", *wide[:2])
    found = found if bias is None else found + wide[2]
    return found.relu() if relu else found


def gradients(output, sources):
    sources = [source for source in sources if source is not None]
    return torch.autograd.grad((output.double() * drawn(*output.shape, seed=9)).sum(), sources)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("fast", [False, True])
def test_values_and_gradients_are_those_of_the_definition_to_float32_rounding(request, fast, shapes, bias, relu):
    calls = request.getfixturevalue("by_onednn") if fast else None
    found_from = operands(shapes, bias)
    found, wanted = affine(*found_from, relu), plain(*found_from, relu)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=5e-5)
    for one, other in zip(gradients(found, found_from), gradients(wanted, found_from), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-4)
    assert calls is None or calls


@pytest.mark.parametrize("rows", [0, 1, 2])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_few_rows_or_none_give_what_the_definition_gives(by_onednn, shapes, rows):
    (_, *rest), weight, bias = shapes
    x, weight, bias = operands(((rows, *rest), weight, bias))
    found = affine(x, weight, bias, relu=True)
    torch.testing.assert_close(found.double(), plain(x, weight, bias, relu=True), rtol=0, atol=5e-5)
    assert all(gradient.isfinite().all() for gradient in gradients(found, (x, weight, bias)))


LAYOUTS = {"transposed": lambda x: x.mT.contiguous().mT,
           "every other column": lambda x: x.repeat_interleave(2, -1)[..., ::2],
           "part of wider rows": lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]],
           "every other row": lambda x: x.repeat_interleave(2, 0)[::2],
           "rows and columns apart": lambda x: x.repeat_interleave(2, -1).repeat_interleave(2, 0)[::2, ..., ::2]}


@pytest.mark.parametrize("of_weight", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("of_x", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("shapes", list(SHAPES.values())[:2], ids=list(SHAPES)[:2])
def test_found_frommay_lie_in_memory_as_they_like(by_onednn, shapes, of_x, of_weight):
    x, weight, bias = operands(shapes)
    laid = of_x(x), of_weight(weight), bias
    found, wanted = affine(*laid, relu=True), plain(x, weight, bias, relu=True)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=5e-5)
    for one, other in zip(gradients(found, (x, weight, bias)), gradients(wanted, (x, weight, bias)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-4)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_no_layout_falls_onto_the_slow_reference_of_onednn(by_onednn, layout):
    x, weight, bias = operands(((1024, 4, 256), (4, 256, 128), (4, 128)))
    start = time.process_time()
    gradients(affine(layout(x), layout(weight), bias, relu=True), (x, weight, bias))
    assert time.process_time() - start < 2          # the reference takes 10 s and more, this some 20 ms


def test_it_can_be_differentiated_twice(by_onednn):
    x, weight, bias = operands(((6, 2, 5), (2, 5, 4), (2, 4)))
    second = []
    for output in (affine(x, weight, bias, relu=True), plain(x, weight, bias, relu=True)):
        first = torch.autograd.grad(output.double().pow(2).sum(), (x, weight, bias), create_graph=True)
        second.append(torch.autograd.grad(sum(each.double().pow(2).sum() for each in first), (x, weight, bias)))
    for found, wanted in zip(*second, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)
        assert wanted.abs().sum() > 0


def test_vmap_takes_the_plain_form(by_onednn):
    x, weight = drawn(3, 64, 48), drawn(3, 48, 32)
    found = torch.func.vmap(affine)(x, weight)
    torch.testing.assert_close(found, x @ weight, rtol=0, atol=5e-5)
    assert not by_onednn


def test_gradients_of_several_outputs_may_be_taken_at_once(by_onednn):
    x, weight, bias = operands(SHAPES["side by side"])
    output = affine(x, weight, bias, relu=True)
    seeds = drawn(3, *output.shape, seed=5)
    together, = torch.autograd.grad(output, weight, seeds, is_grads_batched=True, retain_graph=True)
    for seed, found in zip(seeds, together, strict=True):
        wanted, = torch.autograd.grad(output, weight, seed, retain_graph=True)
        torch.testing.assert_close(found, wanted, rtol=0, atol=2e-4)


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("fast", [False, True])
def test_under_autocast_it_is_computed_in_its_type_and_gradients_come_in_the_weights(request, fast, shapes):
    if fast:
        request.getfixturevalue("by_onednn")
    x, weight, bias = operands(shapes)
    with torch.autocast("cpu", torch.bfloat16):
        found = affine(x, weight, bias, relu=True)
    assert found.dtype == torch.bfloat16
    wanted = plain(x, weight, bias, relu=True)
    torch.testing.assert_close(found.double(), wanted, rtol=0.02, atol=0.1)
    for gradient, source in zip(gradients(found, (x, weight, bias)), (x, weight, bias), strict=True):
        assert gradient.dtype == source.dtype
        assert gradient.shape == source.shape


def test_small_layers_and_other_types_are_computed_as_everywhere(by_onednn, monkeypatch):
    x, weight, bias = operands(SHAPES["one layer"])
    affine(x.double(), weight.double(), bias.double())
    monkeypatch.setattr(product, "PAYS", 64 * 48 * 32 + 1)
    affine(x, weight, bias)
    assert not by_onednn


def test_a_torch_without_the_operator_is_served(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    product._is_faster.cache_clear()
    try:
        assert not product._is_faster(torch.float32)
        assert not product._is_faster(torch.bfloat16)
    finally:
        product._is_faster.cache_clear()


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_a_compiler_traces_the_plain_form_without_a_break(by_onednn, shapes):
    found_from = operands(shapes)
    found = torch.compile(affine, backend="eager", fullgraph=True)(*found_from, relu=True)
    torch.testing.assert_close(found.double(), plain(*found_from, relu=True), rtol=0, atol=5e-5)
    assert not by_onednn


def test_torchs_counter_counts_the_layer_by_either_library():
    for rows, inputs, outputs in ((4, 8, 16), (512, 128, 256)):
        with FlopCounterMode(display=False) as counter:
            affine(torch.randn(rows, inputs), torch.randn(inputs, outputs), torch.randn(outputs), relu=True)
        assert counter.get_total_flops() == 2 * rows * inputs * outputs


CHAINS = {"one input for all": (64, 48), "an input for each": (64, 3, 48)}


def chain_operands(rows):
    x, *layers = (drawn(*shape, seed=seed).requires_grad_()
                  for seed, shape in enumerate((rows, (3, 48, 32), (3, 32), (3, 32, 16), (3, 16))))
    return x, layers


def plain_chains(x, layers):
    rows = x.double() if x.dim() == 3 else x.double().unsqueeze(1).expand(-1, 3, -1)
    for weight, bias in zip(layers[::2], layers[1::2], strict=True):
        rows = plain(rows, weight, bias, relu=True)
    return rows


@pytest.mark.parametrize("rows", CHAINS.values(), ids=CHAINS)
def test_chains_give_the_values_and_both_derivatives_of_the_definition(by_onednn, rows):
    x, layers = chain_operands(rows)
    found, wanted = chains(x, list(zip(layers[::2], layers[1::2], strict=True))), plain_chains(x, layers)
    assert len(by_onednn) == 6
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=5e-4)
    second = []
    for output in (found, wanted):
        first = torch.autograd.grad((output.double() * drawn(*output.shape, seed=9)).sum(), (x, *layers),
                                    create_graph=True)
        second.append((*first, *torch.autograd.grad(sum(each.double().pow(2).sum() for each in first),
                                                    (x, *layers[::2]))))
    for one, other in zip(*second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * other.abs().max().item())
        assert other.abs().sum() > 0


@pytest.mark.parametrize("rows", CHAINS.values(), ids=CHAINS)
def test_chains_are_computed_in_the_type_of_autocast(by_onednn, rows):
    x, layers = chain_operands(rows)
    with torch.autocast("cpu", torch.bfloat16):
        found = chains(x, list(zip(layers[::2], layers[1::2], strict=True)))
    assert found.dtype == torch.bfloat16
    wanted = plain_chains(x, layers)
    torch.testing.assert_close(found.double(), wanted, rtol=0.03, atol=0.03 * wanted.abs().max().item())
    for gradient, exact in zip(*(gradients(output, (x, *layers)) for output in (found, wanted)), strict=True):
        assert gradient.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(gradient.flatten(), exact.flatten(), 0) > 0.99


@pytest.mark.parametrize("widths", [(32, 16), (32,)])
@pytest.mark.parametrize("rows", [(64, 48), (64, 1, 48), (64, 3, 48)])
def test_a_bank_computes_the_same_by_either_library(by_onednn, monkeypatch, rows, widths):
    bank, x = Bank(3, 48, widths), drawn(*rows)
    fast, steps = bank(x), len(by_onednn)
    monkeypatch.setattr(product, "PAYS", float("inf"))
    torch.testing.assert_close(fast, bank(x), rtol=0, atol=5e-5)
    assert (steps, len(by_onednn)) == (1 if widths == (32,) and rows != (64, 3, 48) else 3 * len(widths), steps)


def test_a_bank_with_a_hook_or_a_small_layer_computes_layer_by_layer(by_onednn, monkeypatch):
    monkeypatch.setattr(product, "PAYS", 64 * 48 * 32)
    x, seen = drawn(64, 48), []
    Bank(3, 48, (32, 16))(x)
    assert len(by_onednn) == 1                              # the wide first layer; the second is too small
    bank = Bank(3, 48, (32, 64))
    bank(x)
    assert len(by_onednn) == 1 + 6
    bank.layers[0].register_forward_hook(lambda *_: seen.append(1))
    bank(x)
    assert seen

import pytest
import torch

from mtl_tutorial.fusion.secure_sum import RING, from_ring, masked, modular_sum, pairwise_masks, to_ring

CLIENTS, SIZE = 7, 2_000


@pytest.fixture
def values():
    return torch.randn(CLIENTS, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def shared():
    return pairwise_masks(CLIENTS, SIZE, torch.Generator().manual_seed(1))


def sent_by_all(values, shared, **ring):
    encoded = to_ring(values, CLIENTS, **ring)
    return encoded, torch.stack([masked(value, shared[c], c) for c, value in enumerate(encoded)])


def test_masks_are_shared_by_pairs(shared):
    assert torch.equal(shared, shared.transpose(0, 1))
    assert (shared.diagonal() == 0).all()
    assert shared.min() >= 0
    assert shared.max() < 2**32
    assert len(shared[0, 1].unique()) > 0.99 * SIZE


def test_masks_cancel_exactly(values, shared):
    encoded, sent = sent_by_all(values, shared)
    assert torch.equal(modular_sum(sent), encoded.sum(0) % 2**32)


def test_the_sum_is_that_of_the_floats_up_to_rounding_to_the_point(values, shared):
    _, sent = sent_by_all(values, shared)
    assert (from_ring(modular_sum(sent)) - values.sum(0)).abs().max() <= CLIENTS / 2 * 2**-16 + 1e-12


def test_numbers_on_the_grid_come_back_to_the_bit(shared):
    values = torch.randint(-1000, 1000, (CLIENTS, SIZE), generator=torch.Generator().manual_seed(3)) / 256
    _, sent = sent_by_all(values, shared)
    assert torch.equal(from_ring(modular_sum(sent)), values.double().sum(0))


def test_what_a_client_sends_is_uniform_whatever_its_value(values, shared):
    for value in (torch.zeros(SIZE), values[0]):
        sent = masked(to_ring(value, CLIENTS), shared[2], 2).double() / 2**32
        counts = torch.histc(sent, bins=10, min=0, max=1)
        assert ((counts - SIZE / 10) ** 2 / (SIZE / 10)).sum() < 33.7           # χ² of 9 degrees, once in 10,000


def test_sent_numbers_do_not_go_with_the_value(values, shared):
    _, sent = sent_by_all(values, shared)
    found = torch.corrcoef(torch.stack([sent[0].double(), values[0]]))[0, 1]
    assert abs(found) < 4.5 / SIZE**0.5


def test_without_one_client_the_sum_is_noise(values, shared):
    _, sent = sent_by_all(values, shared)
    wrong = from_ring(modular_sum(sent[:-1])) - values[:-1].sum(0)
    assert wrong.abs().median() > 1_000


def test_negative_numbers_and_the_ends_of_the_ring():
    values = torch.tensor([-1.5, 0.0, 1.5, -16_000.0, 16_000.0])
    assert torch.equal(from_ring(to_ring(values, 2)), values.double())


@pytest.mark.parametrize("summands", [1, 2])
def test_at_the_bound_rounding_does_not_run_over(summands):
    bound = 32_768 / summands
    with pytest.raises(ValueError, match="runs over"):
        to_ring(torch.tensor([bound - 1e-6], dtype=torch.float64), summands)
    largest = torch.tensor([-bound + 1, bound - 1], dtype=torch.float64)
    total = sum(to_ring(largest, summands) for _ in range(summands)) % 2**RING
    assert torch.equal(from_ring(total), summands * largest)


def test_what_would_run_over_is_refused():
    with pytest.raises(ValueError, match=r"sum of 10 runs over unless they stay below 3276\.8"):
        to_ring(torch.tensor([5_000.0]), 10)
    with pytest.raises(ValueError, match="not finite"):
        to_ring(torch.tensor([float("nan")]), 2)
    with pytest.raises(ValueError, match="ring=64"):
        to_ring(torch.tensor([1.0]), 2, ring=64)


def test_masks_that_do_not_fit_are_refused(shared):
    with pytest.raises(ValueError, match="client 7 is none of 0 … 6"):
        masked(torch.zeros(SIZE, dtype=torch.long), shared[0], 7)
    with pytest.raises(ValueError, match="masks of shape"):
        masked(torch.zeros(3, dtype=torch.long), shared[0], 0)

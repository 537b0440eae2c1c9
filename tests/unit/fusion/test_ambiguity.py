import pytest
import torch

from mtl_tutorial.fusion.ambiguity import ambiguity


def draw(seed):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(3, 5, 40, generator=generator, dtype=torch.float64),
            torch.randint(2, (3, 40), generator=generator).double(),
            torch.rand(3, 5, generator=generator, dtype=torch.float64).softmax(-1))


@pytest.mark.parametrize("seed", range(10))
def test_error_of_the_mean_is_the_mean_error_less_the_ambiguity(seed):
    of_mean, mean_error, apart = ambiguity(*draw(seed))
    torch.testing.assert_close(of_mean, mean_error - apart, rtol=0, atol=1e-14)
    assert apart.min() > 0.01


def test_parts_by_hand():
    found = ambiguity(torch.tensor([[0.2], [0.8]]), torch.tensor([1.0]), torch.tensor([0.5, 0.5]))
    assert found.of_mean.item() == pytest.approx(0.25)
    assert found.mean_error.item() == pytest.approx((0.64 + 0.04) / 2)
    assert found.ambiguity.item() == pytest.approx(0.09)


def test_experts_that_agree_have_none():
    predictions, targets, weights = draw(0)
    assert ambiguity(predictions[:, :1].expand(3, 5, 40), targets, weights).ambiguity.max() < 1e-30


def test_targets_of_other_rows_are_refused():
    predictions, targets, weights = draw(0)
    with pytest.raises(ValueError, match="targets have shape"):
        ambiguity(predictions, targets[:, 1:], weights)

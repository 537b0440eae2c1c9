import pytest
import torch

from mtl_tutorial.fusion.weighted_mean import weighted_mean

PREDICTIONS = torch.tensor([[0.1, 0.2, 0.6], [0.5, 0.4, 0.0]])       # two experts, three rows


def test_mean_by_hand():
    assert weighted_mean(PREDICTIONS, torch.tensor([0.25, 0.75])).tolist() == pytest.approx([0.4, 0.35, 0.15])


def test_weights_of_each_row_by_hand():
    weights = torch.tensor([[1.0, 0.5, 0.25], [0.0, 0.5, 0.75]])
    assert weighted_mean(PREDICTIONS, weights).tolist() == pytest.approx([0.1, 0.3, 0.15])


def test_many_weights_for_many_problems():
    problems, ways = torch.rand(5, 4, 7), torch.rand(3, 1, 4).softmax(-1)
    found = weighted_mean(problems, ways)
    assert found.shape == (3, 5, 7)
    torch.testing.assert_close(found[2, 3], (ways[2, 0].unsqueeze(-1) * problems[3]).sum(0))


def test_as_many_rows_as_experts_are_no_confusion():
    square = torch.rand(2, 2)
    torch.testing.assert_close(weighted_mean(square, torch.tensor([0.3, 0.7])), 0.3 * square[0] + 0.7 * square[1])


@pytest.mark.parametrize(("weights", "told"), [
    ([0.5, 0.6], r"weights \[0.5, 0.6\] are off the simplex"),
    ([1.5, -0.5], "off the simplex"),
    ([torch.nan, 0.5], "off the simplex"),
    ([0.2, 0.3, 0.5], "fit neither the 2 experts"),
    ([[0.5, 0.5, 0.5], [0.5, 0.5, 0.4]], r"weights \[0.5, 0.4\] are off the simplex"),
])
def test_weights_that_do_not_fit_are_refused(weights, told):
    with pytest.raises(ValueError, match=told):
        weighted_mean(PREDICTIONS, torch.tensor(weights))


def test_a_single_expert_is_refused():
    with pytest.raises(ValueError, match="at least 2 experts"):
        weighted_mean(PREDICTIONS[:1], torch.tensor([1.0]))

import pytest
import torch

from mtl_tutorial.zero_shot.calibrated_stacking import Tradeoff, calibrated_predict, choose_factor, tradeoff
from mtl_tutorial.zero_shot.class_statistics import class_splits
from mtl_tutorial.zero_shot.harmonic import per_class_accuracy


@pytest.fixture
def scored(drawn):
    _, y, _ = drawn
    generator = torch.Generator().manual_seed(1)
    seen = class_splits(6, 2)
    scores = torch.randn(len(seen), len(y), 6, generator=generator, dtype=torch.float64)
    scores = scores + 1.5 * torch.nn.functional.one_hot(y, 6) + 0.5 * seen.unsqueeze(1)
    return scores, y, seen


def test_prediction_is_the_best_after_the_factor_is_taken_off_the_seen(scored):
    scores, _, seen = scored
    for factor in (-1.0, 0.0, 0.7):
        expected = (scores - factor * seen.unsqueeze(1)).argmax(-1)
        assert torch.equal(calibrated_predict(scores, seen, factor), expected)


def test_each_split_may_have_a_factor_of_its_own(scored):
    scores, _, seen = scored
    factors = torch.linspace(-1, 2, len(seen)).double()
    found = calibrated_predict(scores, seen, factors)
    for split in range(len(seen)):
        assert torch.equal(found[split], calibrated_predict(scores[split], seen[split], factors[split].item()))


def test_infinite_factors_choose_among_one_side_alone(scored):
    scores, _, seen = scored
    assert not seen.gather(1, calibrated_predict(scores, seen, torch.inf)).any()
    assert seen.gather(1, calibrated_predict(scores, seen, -torch.inf)).all()


def test_tradeoff_is_the_accuracy_of_the_predictions_at_each_factor(scored):
    scores, y, seen = scored
    factors = torch.linspace(-3, 4, 23).double()
    found = tradeoff(scores, y, seen, factors)
    for place, factor in enumerate(factors):
        choice = calibrated_predict(scores, seen, factor)
        for accuracies, side in ((found.seen, seen), (found.unseen, ~seen)):
            expected = per_class_accuracy(choice, y, side)
            torch.testing.assert_close(accuracies[:, place].float(), expected, rtol=1e-6, atol=1e-6)
    assert (found.seen.diff() <= 1e-12).all()
    assert (found.unseen.diff() >= -1e-12).all()


def test_a_row_whose_gap_is_the_factor_stays_with_the_seen():
    scores, seen = torch.tensor([[2.0, 1.0]]), torch.tensor([True, False])
    assert calibrated_predict(scores, seen, 1.0).tolist() == [0]
    assert tradeoff(scores, torch.tensor([0]), seen, torch.tensor([1.0])).seen.item() == 1


def test_area_is_that_under_the_seen_unseen_curve():
    found = Tradeoff(torch.arange(3.0), torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0.0, 0.5, 1.0]))
    assert found.area() == pytest.approx(0.5)
    perfect = Tradeoff(torch.arange(3.0), torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 1.0]))
    assert perfect.area() == pytest.approx(1.0)


def test_the_chosen_factor_is_best_in_the_mean_over_splits():
    factors = torch.tensor([0.0, 1, 2, 3])
    seen = torch.tensor([[0.9, 0.8, 0.6, 0.0], [0.9, 0.9, 0.5, 0.1]])
    unseen = torch.tensor([[0.0, 0.2, 0.6, 0.9], [0.0, 0.1, 0.5, 0.9]])
    assert choose_factor(Tradeoff(factors, seen, unseen)) == 2


def test_of_equally_good_factors_the_middle_one_is_chosen():
    flat = torch.tensor([[0.1, 0.5, 0.5, 0.5, 0.1]])
    assert choose_factor(Tradeoff(torch.arange(5.0), flat, flat)) == 2

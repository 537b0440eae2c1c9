import pytest
import torch

from mtl_tutorial.zero_shot.harmonic import generalised_accuracy, harmonic_mean, per_class_accuracy


def test_classes_count_alike_whatever_their_rows():
    y = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    found = torch.tensor([0, 0, 0, 1, 0, 2, 0])
    among = torch.tensor([[True, True, False], [True, True, True], [False, False, True]])
    assert per_class_accuracy(found, y, among).tolist() == pytest.approx([0.375, (0.75 + 0 + 0.5) / 3, 0.5])


def test_a_class_without_rows_is_left_out_and_no_class_at_all_is_nan():
    y, found = torch.tensor([0, 0]), torch.tensor([0, 1])
    assert per_class_accuracy(found, y, torch.tensor([True, True])) == 0.5
    assert per_class_accuracy(found, y, torch.tensor([False, True])).isnan()


def test_harmonic_mean_follows_the_smaller_one():
    seen, unseen = torch.tensor([0.8, 0.8, 0.0, 0.5]), torch.tensor([0.4, 0.0, 0.0, 0.5])
    assert harmonic_mean(seen, unseen).tolist() == pytest.approx([2 * 0.32 / 1.2, 0, 0, 0.5])


def test_generalised_accuracy_is_of_both_sides_for_every_split():
    y, found = torch.tensor([0, 0, 1, 2]), torch.tensor([[0, 1, 1, 0], [0, 0, 2, 2]])
    seen = torch.tensor([[True, True, False], [True, False, True]])
    by_seen, by_unseen, harmonic = generalised_accuracy(found, y, seen)
    assert by_seen.tolist() == [0.75, 1]
    assert by_unseen.tolist() == [0, 0]
    assert harmonic.tolist() == [0, 0]
    assert generalised_accuracy(y, y, seen[0])[2] == 1


def test_an_accuracy_that_nobody_could_measure_has_no_harmonic_mean():
    assert harmonic_mean(torch.tensor(1.0), torch.tensor(float("nan"))).isnan()
    found, y = torch.tensor([0, 1]), torch.tensor([0, 1])
    assert generalised_accuracy(found, y, torch.tensor([True, True, False]))[2].isnan()

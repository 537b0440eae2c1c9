import pytest
import torch

from mtl_tutorial.zero_shot.hubness import k_occurrence, skewness


def test_k_occurrence_counts_the_queries_that_list_a_target():
    scores = torch.tensor([[3.0, 2, 1], [0, 5, 4], [1, 9, 8]])
    assert k_occurrence(scores).tolist() == [1, 2, 0]
    assert k_occurrence(scores, 2).tolist() == [1, 3, 2]
    assert k_occurrence(scores.repeat(4, 1, 1), 2).tolist() == [[1, 3, 2]] * 4


@pytest.mark.parametrize("k", [0, 4])
def test_lists_of_an_impossible_length_are_refused(k):
    with pytest.raises(ValueError, match=f"k={k}, but there are 3 targets"):
        k_occurrence(torch.zeros(2, 3), k)


def test_skewness_is_that_of_scipy_and_zero_where_all_are_equal():
    from scipy.stats import skew

    counts = torch.tensor([[1.0, 2, 40, 3], [5, 5, 5, 5]])
    found = skewness(counts)
    assert found[0].item() == pytest.approx(skew([1, 2, 40, 3]))
    assert found[1] == 0

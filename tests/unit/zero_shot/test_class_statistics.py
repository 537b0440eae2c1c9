import pytest
import torch

from mtl_tutorial.zero_shot.class_statistics import centred, class_splits, class_statistics, ridge_by_class

CLOSE = {"rtol": 1e-10, "atol": 1e-10}


def test_gram_of_some_classes_is_that_of_their_rows(drawn):
    x, y, _ = drawn
    statistics = class_statistics(x, y, 6)
    for chosen in ([0, 3, 5], [1], [0, 1, 2, 3, 4, 5]):
        mask = torch.zeros(6, dtype=torch.bool).scatter(0, torch.tensor(chosen), True)
        rows = x[torch.isin(y, torch.tensor(chosen))]
        torch.testing.assert_close(statistics.gram(mask), rows.T @ rows, **CLOSE)
    assert statistics.counts.tolist() == [9, 12, 7, 10, 8, 11]
    torch.testing.assert_close(statistics.sums[2], x[y == 2].sum(0), **CLOSE)


def test_ridge_of_many_splits_is_that_of_each(drawn):
    x, y, table = drawn
    seen = class_splits(6, 2)
    found = ridge_by_class(class_statistics(x, y, 6), seen, table, 0.7)
    for split, weights in zip(seen, found, strict=True):
        rows = split[y]
        expected = torch.linalg.solve(x[rows].T @ x[rows] + 0.7 * torch.eye(5).double(), x[rows].T @ table[y[rows]])
        torch.testing.assert_close(weights, expected, **CLOSE)


def test_every_split_comes_once_in_lexical_order():
    seen = class_splits(10, 3)
    assert seen.shape == (120, 10)
    assert len(seen.unique(dim=0)) == 120
    assert (seen.sum(1) == 7).all()
    assert (~seen[0]).nonzero().flatten().tolist() == [0, 1, 2]
    assert (~seen[-1]).nonzero().flatten().tolist() == [7, 8, 9]


def test_centring_takes_off_the_mean_of_the_seen_alone(drawn):
    table = drawn[2]
    seen = class_splits(6, 2)
    found = centred(table, seen)
    torch.testing.assert_close((found * seen.unsqueeze(-1)).sum(1), torch.zeros(15, 4).double(), **CLOSE)
    torch.testing.assert_close(found[0, 0] - found[0, 1], table[0] - table[1], **CLOSE)
    own = torch.stack([table.roll(split, 0) for split in range(len(seen))])             # a table for each split
    torch.testing.assert_close(centred(own, seen)[4], centred(own[4], seen[4]), **CLOSE)


@pytest.mark.parametrize(("x", "y", "problem"), [
    (torch.zeros(3, 2), torch.tensor([0, 1]), "features must be .* not .3, 2. and .2."),
    (torch.zeros(2, 2), torch.tensor([0, 4]), "labels run from 0 to 4, but there are 4 classes"),
    (torch.zeros(2, 2), torch.tensor([-1, 0]), "labels run from -1 to 0"),
])
def test_labels_that_do_not_fit_are_refused(x, y, problem):
    with pytest.raises(ValueError, match=problem):
        class_statistics(x, y, 4)

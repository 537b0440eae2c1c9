import pytest
import torch

from mtl_tutorial.fusion.out_of_fold import assign_folds, back_in_order, fold_rows, out_of_fold


def remember(x, y):
    """A model that knows every row it saw, and tells so: 1 for those, 0 for others."""
    seen = set(x[:, 0].tolist())
    return lambda rows: torch.tensor([float(value in seen) for value in rows[:, 0].tolist()])


def test_no_row_is_predicted_by_a_model_that_saw_it():
    x, y, fold = torch.arange(50.0).unsqueeze(-1), torch.zeros(50), assign_folds(50, 7, 0)
    assert out_of_fold(remember, x, y, fold).sum() == 0
    assert remember(x, y)(x).mean() == 1


def test_each_row_is_predicted_by_the_model_of_its_own_fold():
    y, fold = torch.arange(12.0), torch.tensor([2, 0, 0, 1, 2, 5, 5, 1, 2, 0, 0, 0])
    found = out_of_fold(lambda x, y: lambda rows: y.mean() + rows, 100 * y, y, fold)
    wanted = [(y[fold != fold[n]].mean() + 100 * y[n]).item() for n in range(12)]
    assert found.tolist() == pytest.approx(wanted)


def test_predictions_may_have_further_dimensions():
    found = out_of_fold(lambda x, y: lambda rows: rows * 2, torch.arange(20.0).view(10, 2), torch.zeros(10),
                        assign_folds(10, 3, 0))
    assert found.equal(torch.arange(20.0).view(10, 2) * 2)


def test_folds_are_of_one_size_to_within_a_row_and_differ_by_seed():
    fold = assign_folds(103, 5, 1)
    assert sorted(fold.bincount().tolist()) == [20, 20, 21, 21, 21]
    assert fold.equal(assign_folds(103, 5, 1))
    assert not fold.equal(assign_folds(103, 5, 2))


def test_all_rows_of_a_group_are_in_one_fold():
    groups = torch.randint(40, (500,), generator=torch.Generator().manual_seed(0)) * 7
    fold = assign_folds(500, 4, 0, groups)
    per_group = [fold[groups == group].unique() for group in groups.unique()]
    assert all(len(numbers) == 1 for numbers in per_group)
    assert torch.cat(per_group).bincount().tolist() == [10, 10, 10, 10]


def test_stacked_models_predict_as_one_by_one():
    x, fold = torch.randn(60, generator=torch.Generator().manual_seed(0)), assign_folds(60, 5, 3)
    fitted, held = fold_rows(fold)
    assert fitted.shape == (5, 48)
    assert held.shape == (5, 12)
    means = x[fitted].mean(1)                                           # five models at once
    found = back_in_order((means.unsqueeze(-1) * x[held]).expand(2, 5, 12), held)
    wanted = out_of_fold(lambda x, y: lambda rows: y.mean() * rows, x, x, fold)
    torch.testing.assert_close(found, wanted.expand(2, 60))


@pytest.mark.parametrize(("call", "told"), [
    (lambda: assign_folds(3, 4, 0), "3 rows cannot fill 4 folds"),
    (lambda: assign_folds(6, 4, 0, torch.tensor([0, 0, 1, 1, 2, 2])), "3 groups cannot fill 4 folds"),
    (lambda: assign_folds(6, 1, 0), "no model is left"),
    (lambda: assign_folds(6, 2, 0, torch.zeros(5)), "groups have shape"),
    (lambda: out_of_fold(remember, torch.zeros(4, 1), torch.zeros(4), torch.zeros(4)), "all rows are in one fold"),
    (lambda: out_of_fold(remember, torch.zeros(4, 1), torch.zeros(4), torch.zeros(3)), "y 4 and fold 3"),
    (lambda: fold_rows(torch.tensor([0, 0, 1])), r"folds hold \[2, 1\] rows"),
    (lambda: fold_rows(torch.zeros(4, dtype=torch.long)), "two or more"),
    (lambda: back_in_order(torch.zeros(2, 2), torch.tensor([[0, 1], [1, 2]])), "exactly once"),
])
def test_what_cannot_be_folded_is_refused(call, told):
    with pytest.raises(ValueError, match=told):
        call()

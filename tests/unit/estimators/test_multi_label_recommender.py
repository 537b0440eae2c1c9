import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from mtl_tutorial.estimators.multi_label_recommender import MultiLabelRecommender


@pytest.fixture(scope="module")
def rows():
    """Four features of different scales, three labels that may hold together."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 4)) * (1, 10, 0.1, 1) + (0, 50, 0, -3)
    z = (X - X.mean(0)) / X.std(0)
    Y = np.stack([z[:, 0] + z[:, 1] > 0, z[:, 1] * z[:, 2] > 0, z[:, 3] > 1], 1).astype(int)
    return X, Y


def new(**arguments):
    return MultiLabelRecommender(**{"lr": 0.01, "random_state": 0, **arguments})


@pytest.fixture(scope="module")
def fitted(rows):
    return new().fit(*rows)


def test_each_label_is_learned(fitted, rows):
    X, Y = rows
    assert ((fitted.predict(X) == Y).mean(0) > 0.93).all()


def test_any_number_of_labels_may_hold(fitted, rows):
    assert set(fitted.predict(rows[0]).sum(1)) == {0, 1, 2, 3}
    chances = fitted.predict_proba(rows[0])
    assert chances.shape == (1500, 3)
    assert abs(chances.sum(1) - 1).max() > 0.5
    np.testing.assert_array_equal(fitted.predict(rows[0]), chances > 0.5)


def test_score_is_scikit_learns_subset_accuracy(fitted, rows):
    X, Y = rows
    assert fitted.score(X, Y) == accuracy_score(Y, fitted.predict(X))
    assert fitted.score(X, Y) < (fitted.predict(X) == Y).mean()


def test_dict_of_labels_comes_back_as_a_dict_in_its_order(rows):
    X, Y = rows
    model = new(epochs=2).fit(X, {"toys": Y[:, 0], "books": Y[:, 1]})
    assert model.labels_ == ["toys", "books"]
    found = model.predict_proba(X)
    assert list(found) == list(model.predict(X)) == ["toys", "books"]
    array = new(epochs=2).fit(X, Y[:, :2])
    np.testing.assert_array_equal(np.stack(list(found.values()), 1), array.predict_proba(X))
    assert model.score(X, {"books": Y[:, 1], "toys": Y[:, 0]}) == array.score(X, Y[:, :2])


def test_without_a_body_it_is_a_logistic_regression_per_label(rows):
    X, Y = rows
    model = new(widths=(), epochs=300, lr=0.02, batch_size=1500, weight_decay=0.0).fit(X, Y[:, [0, 2]])
    z = (X - X.mean(0)) / X.std(0)
    noisy = np.random.default_rng(1).random(Y.shape) < 0.2      # not separable: the optimum is finite
    Y = np.where(noisy, 1 - Y, Y)[:, [0, 2]]
    model.fit(X, Y)
    theirs = [LogisticRegression(C=np.inf).fit(z, column).predict_proba(z)[:, 1] for column in Y.T]
    np.testing.assert_allclose(model.predict_proba(X), np.stack(theirs, 1), atol=2e-3)


def test_label_that_was_not_observed_is_never_read(rows):
    X, Y = rows
    mask = np.random.default_rng(2).random(Y.shape) < 0.5
    blank, wrong = np.where(mask, Y, np.nan), np.where(mask, Y, 1 - Y)
    one, other = (new(epochs=3).fit(X, labels, mask) for labels in (blank, wrong))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert not np.array_equal(one.predict_proba(X), new(epochs=3).fit(X, wrong).predict_proba(X))
    assert one.score(X, blank, mask) == one.score(X, wrong, mask) > one.score(X, wrong)


def test_row_counts_as_right_where_its_observed_labels_are(fitted, rows):
    X, Y = rows
    wrong = Y.copy()
    wrong[:, 2] = 1 - fitted.predict(X)[:, 2]
    mask = np.ones(Y.shape, bool)
    assert fitted.score(X, wrong, mask) == 0
    mask[:, 2] = False
    assert fitted.score(X, wrong, mask) == accuracy_score(Y[:, :2], fitted.predict(X)[:, :2])


def test_random_state_decides_alone(rows):
    X, Y = rows
    first = new(epochs=1).fit(X, Y).predict_proba(X)
    torch.manual_seed(7)
    np.testing.assert_array_equal(new(epochs=1).fit(X, Y).predict_proba(X), first)
    assert not np.array_equal(new(epochs=1, random_state=1).fit(X, Y).predict_proba(X), first)


def test_training_starts_from_the_shares_of_the_labels_observed(rows):
    X, Y = rows
    mask = np.arange(1500)[:, None] < [1500, 300, 1500]
    start = new(epochs=0).fit(X, Y, mask).predict_proba(X)
    shares = [Y[:, 0].mean(), Y[:300, 1].mean(), Y[:, 2].mean()]
    np.testing.assert_allclose(start, np.tile(shares, (1500, 1)), atol=2e-3)


def test_label_that_never_holds_has_a_chance_above_zero(rows):
    X, Y = rows
    chances = new(epochs=0).fit(X, Y * [1, 0, 1]).predict_proba(X)[:, 1]
    np.testing.assert_allclose(chances, 0.5 / 1501, rtol=1e-6)


def test_constant_feature_does_no_harm(rows):
    X, Y = rows
    X = np.hstack([X, np.full((len(X), 1), 3.0)])
    assert np.isfinite(new(epochs=1).fit(X, Y).predict_proba(X)).all()


def test_unit_of_a_feature_makes_no_difference(rows):
    X, Y = rows
    one, other = (new(epochs=3).fit(x, Y).predict_proba(x) for x in (X, 1000 * X + 70_000))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_new_rows_are_standardised_as_those_learned_from(fitted, rows):
    np.testing.assert_allclose(fitted.predict_proba(rows[0][:7]), fitted.predict_proba(rows[0])[:7], atol=1e-12)


@pytest.mark.parametrize("broken", ["label", "width", "mask"])
def test_failed_fit_keeps_what_was_learned(rows, broken):
    X, Y = rows
    model = new(epochs=1).fit(X, Y)
    before, known = model.predict_proba(X), dict(vars(model))
    other = {"label": (X[:, :2], {"a": Y[:, 0], "b": Y[:, 1] + 1}), "width": (X[:, :2], Y[:5]),
             "mask": (3 * X[:, :2], Y[:, :2], 0 * Y[:, :2])}[broken]
    with pytest.raises(ValueError, match=r"label|shape|observed"):
        model.fit(*other)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert vars(model) == known


def test_clone_copies_the_arguments():
    model = new(widths=(8, 4))
    assert clone(model).get_params() == model.get_params()


X4, Y4 = np.arange(8.0).reshape(4, 2), np.array([[0, 1], [1, 0], [1, 1], [0, 0]])


@pytest.mark.parametrize(("Y", "mask", "message"), [
    (Y4[:, 0], None, r"Y has shape \(4,\), expected \(4, labels\)"),
    (Y4[:3], None, r"Y has shape \(3, 2\), expected \(4, 2\)"),
    (Y4 + 1, None, "label 'label1', row 0 is 2: labels are 0 or 1; mask those that were not observed"),
    (np.where(Y4 > 0, np.nan, 0.0), None, "label 'label1', row 0 is nan: labels are 0 or 1"),
    ({"a": Y4[:, 0], "b": [0, 1, 0.5, 1]}, None, "label 'b', row 2 is 0.5: labels are 0 or 1"),
    ({"a": Y4[:3, 0]}, None, r"Y\['a'\] has shape \(3,\), X says 4 rows"),
    ({}, None, "Y has the labels none, expected at least one"),
    (Y4, Y4[:, :1], r"mask has shape \(4, 1\), expected \(4, 2\)"),
    (Y4, {"label0": Y4[:, 0]}, "mask must be an array, as Y was in fit"),
    ({"a": Y4[:, 0]}, {"b": Y4[:, 0]}, "mask has the labels b, expected a"),
    (Y4, np.ones((4, 2)) * [1, 0], "label 'label1' was observed in no row"),
])
def test_labels_that_cannot_be_learned_from_are_refused(Y, mask, message):
    with pytest.raises(ValueError, match=message):
        new().fit(X4, Y, mask)


@pytest.mark.parametrize(("X", "message"), [
    (X4[:, :1], "X has 1 features, but MultiLabelRecommender is expecting 2"),
    (np.where(X4 > 6, np.nan, X4), "Input X contains NaN"), (X4[0], "Expected 2D array")])
def test_features_that_do_not_fit_are_refused(X, message):
    model = new(epochs=1).fit(X4, Y4)
    with pytest.raises(ValueError, match=message):
        model.predict(X)


def test_score_wants_the_form_of_fit():
    with pytest.raises(ValueError, match="Y must be an array, as Y was in fit"):
        new(epochs=1).fit(X4, Y4).score(X4, {"label0": Y4[:, 0], "label1": Y4[:, 1]})


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_unfitted_model_says_so(method):
    with pytest.raises(NotFittedError):
        getattr(new(), method)(X4)

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mtl_tutorial.estimators.multi_task_classifier import MultiTaskClassifier


@parametrize_with_checks([MultiTaskClassifier(widths=(16,), tower=(8,), random_state=0)])
def test_scikit_learns_check(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    """Features, species by name, and whether the petal is wider than the median."""
    X, species = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[species]
    return X[:, :3], names, (X[:, 3] > np.median(X[:, 3])).astype(int)


def new(**arguments):
    return MultiTaskClassifier(**{"epochs": 10, "random_state": 0, **arguments})


def test_dict_of_targets_comes_back_as_a_dict_in_its_order(iris):
    X, species, wide = iris
    model = new().fit(X, {"wide": wide, "species": species})
    assert model.task_names_ == ["wide", "species"]
    assert [list(classes) for classes in model.classes_] == [[0, 1], ["setosa", "versicolor", "virginica"]]
    found, chances = model.predict(X), model.predict_proba(X)
    assert list(found) == list(chances) == ["wide", "species"]
    assert set(found["species"]) <= set(species)
    assert chances["species"].shape == (150, 3)
    assert chances["wide"].shape == (150, 2)
    np.testing.assert_allclose(chances["species"].sum(1), 1)


def test_columns_of_targets_come_back_as_columns(iris):
    X, species, wide = iris
    y = np.stack([wide, species == "setosa"], 1).astype(int)
    model = new().fit(X, y)
    assert model.predict(X).shape == (150, 2)
    assert [chances.shape for chances in model.predict_proba(X)] == [(150, 2), (150, 2)]
    assert model.score(X, y) == pytest.approx((model.predict(X) == y).mean())


def test_one_dimensional_target_is_one_task(iris):
    X, species, _ = iris
    model = new().fit(X, species)
    assert model.predict(X).shape == (150,)
    assert model.predict_proba(X).shape == (150, 3)
    assert list(model.classes_) == ["setosa", "versicolor", "virginica"]


def test_the_three_forms_train_the_same_network(iris):
    X, _, wide = iris
    vector, mapping = new().fit(X, wide), new().fit(X, {"wide": wide})
    np.testing.assert_array_equal(vector.predict_proba(X), mapping.predict_proba(X)["wide"])
    twice = np.stack([wide, 1 - wide], 1)
    columns, mapping = new().fit(X, twice), new().fit(X, {"wide": wide, "narrow": 1 - wide})
    np.testing.assert_array_equal(columns.predict_proba(X)[1], mapping.predict_proba(X)["narrow"])


def test_order_of_the_targets_to_score_does_not_matter(iris):
    X, species, wide = iris
    model = new().fit(X, {"species": species, "wide": wide})
    expected = ((model.predict(X)["species"] == species).mean() + (model.predict(X)["wide"] == wide).mean()) / 2
    assert model.score(X, {"wide": wide, "species": species}) == pytest.approx(expected)
    assert expected < 1


def test_score_compares_each_target_in_its_own_type(iris):
    X, species, wide = iris
    model = new().fit(X, {"species": species, "wide": wide})
    as_float = {"species": species, "wide": wide.astype(float)}
    assert model.score(X, as_float) == model.score(X, {"species": species, "wide": wide})


def test_both_tasks_are_learned(iris):
    X, species, wide = iris
    train, test = train_test_split(np.arange(150), test_size=50, random_state=0, stratify=species)
    model = MultiTaskClassifier(random_state=0).fit(X[train], {"species": species[train], "wide": wide[train]})
    found = model.predict(X[test])
    assert (found["species"] == species[test]).mean() > 0.88
    assert (found["wide"] == wide[test]).mean() > 0.88


def test_task_without_weight_is_not_learned(iris):
    X, species, wide = iris
    targets = {"species": species, "wide": wide}
    model = new(task_weights=[1.0, 0.0], epochs=30, weight_decay=0.0).fit(X, targets)
    chances = model.predict_proba(X)
    assert (model.predict(X)["species"] == species).mean() > 0.9
    losses = {name: -np.log(chances[name][np.arange(150), np.unique(y, return_inverse=True)[1]]).mean()
              for name, y in targets.items()}
    assert losses["wide"] > 2 * losses["species"]


def test_task_weights_are_one_per_task(iris):
    X, species, wide = iris
    with pytest.raises(ValueError, match="task_weights has 3 entries, but there are 2 tasks"):
        new(task_weights=[1, 1, 1]).fit(X, {"species": species, "wide": wide})


def test_features_are_standardised_by_the_training_rows(iris):
    X, species, _ = iris
    scaled = X * [1000.0, 0.001, 1.0] + [5.0, -3.0, 0.0]
    np.testing.assert_allclose(new().fit(X, species).predict_proba(X[:20]),
                               new().fit(scaled, species).predict_proba(scaled[:20]), atol=1e-6)


def test_constant_feature_does_no_harm(iris):
    X, species, _ = iris
    constant = np.column_stack([X, np.full(150, 7.0)])
    assert np.isfinite(new().fit(constant, species).predict_proba(constant)).all()


def test_fit_leaves_every_global_random_state_as_it_was(iris):
    X, species, _ = iris
    before, numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    new().fit(X, species)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy, np.random.get_state()[1])


def test_random_state_decides_alone(iris):
    X, species, _ = iris
    first = new(random_state=1).fit(X, species).predict_proba(X)
    torch.manual_seed(99)
    np.testing.assert_array_equal(new(random_state=1).fit(X, species).predict_proba(X), first)
    assert not np.array_equal(new(random_state=2).fit(X, species).predict_proba(X), first)
    generator = np.random.RandomState(1)
    np.testing.assert_array_equal(new(random_state=generator).fit(X, species).predict_proba(X), first)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize(("y", "message"), [
    ({"a": [0, 1, 0], "b": [0, 1]}, "inconsistent numbers of samples"),
    ({"a": [0.5, 1.5, 2.25]}, "Unknown label type: continuous"),
    ({"a": [0, 1, float("nan")]}, "NaN"),
    ({"a": [[0, 1], [1, 0], [1, 1]]}, "y should be a 1d array"),
    ({}, "at least one target"),
])
def test_dict_of_bad_targets_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        new().fit(np.eye(3), y)


def test_unfitted_model_says_so(iris):
    with pytest.raises(NotFittedError):
        new().predict(iris[0])
    with pytest.raises(NotFittedError):
        new().predict_proba(iris[0])


def test_it_is_at_home_in_a_pipeline_and_a_grid_search(iris):
    X, species, wide = iris
    y = np.stack([wide, species == "setosa"], 1).astype(int)
    search = GridSearchCV(make_pipeline(MinMaxScaler(), new(epochs=2)), {"multitaskclassifier__lr": [1e-5, 0.03]},
                          cv=2).fit(X, y)
    assert search.best_params_ == {"multitaskclassifier__lr": 0.03}
    assert clone(search.best_estimator_[-1]).get_params() == search.best_estimator_[-1].get_params()

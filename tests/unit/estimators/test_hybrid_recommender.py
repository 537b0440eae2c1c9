from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from mtl_tutorial.data.table import Table
from mtl_tutorial.estimators.hybrid_recommender import HybridRecommender

USERS, ITEMS, ROWS = 40, 30, 6000


def planted(seed=0):
    """Purchase, told by the ids alone: a keen user and a good item. Spend, told by content: the price."""
    draw = torch.Generator().manual_seed(seed)
    user, item = (torch.randint(size, (ROWS,), generator=draw) for size in (USERS, ITEMS))
    age = torch.randint(3, (ROWS,), generator=draw)
    price = torch.randn(ROWS, 1, generator=draw)
    purchase = (user % 4 + item % 4 >= 4).float()
    spend = 2 * price[:, 0] + 0.5 * age + 0.1 * torch.randn(ROWS, generator=draw)
    return Table(torch.stack([age, item, user], 1), (3, ITEMS, USERS), price, field_names=("age", "item", "user"),
                 targets={"purchase": purchase, "spend": spend, "kind": (age + 1) % 3},
                 masks={"spend": purchase == 1})


def new(**arguments):
    knobs = {"epochs": 12, "batch_size": 128, "lr": 0.02, "widths": (16,), "tower": (8,), "random_state": 0}
    return HybridRecommender(**{**knobs, **arguments})


@pytest.fixture(scope="module")
def table():
    return planted()


@pytest.fixture(scope="module")
def fitted(table):
    return new().fit(table)


def test_both_heads_learn_what_was_planted(fitted):
    found = fitted.scores(planted(seed=1))
    assert list(found) == ["purchase", "spend"]
    assert found["purchase"] > 0.97
    assert found["spend"] > 0.95
    assert fitted.score(planted(seed=1)) == pytest.approx((found["purchase"] + found["spend"]) / 2)


def test_each_view_alone_learns_what_it_can_see(table):
    collaborative = new(views=("collaborative",)).fit(table).scores(planted(seed=1))
    content = new(views=("content",)).fit(table).scores(planted(seed=1))
    assert collaborative["purchase"] > 0.97
    assert collaborative["spend"] < 0.1
    assert content["purchase"] < 0.67       # the share of the larger class is 10 of 16
    assert content["spend"] > 0.95


def test_predictions_are_classes_and_means(fitted, table):
    found, chances = fitted.predict(table), fitted.predict_proba(table)
    assert found["purchase"].shape == found["spend"].shape == (ROWS,)
    assert set(found["purchase"]) == {0, 1}
    assert list(chances) == ["purchase"]
    assert chances["purchase"].shape == (ROWS, 2)
    np.testing.assert_allclose(chances["purchase"].sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(found["purchase"], chances["purchase"].argmax(1))


def test_score_of_spend_looks_at_purchases_alone(fitted, table):
    other = replace(table, targets={**table.targets, "spend": torch.where(
        table.masks["spend"], table.targets["spend"], 1e6)})
    assert fitted.scores(other) == fitted.scores(table)


def test_classes_are_a_task_like_any_other(table):
    model = new(tasks=("kind", "purchase")).fit(table)
    assert [(task.name, task.kind) for task in model.tasks_] == [("kind", "multiclass"), ("purchase", "binary")]
    assert model.predict_proba(table)["kind"].shape == (ROWS, 3)
    assert model.scores(table)["kind"] > 0.99


def test_task_without_weight_is_not_learned(table):
    found = new(weights=(1.0, 0.0)).fit(table).scores(table)
    assert found["purchase"] > 0.97
    assert found["spend"] < 0.3


def test_validation_rows_keep_the_best_weights(table):
    """Labels of the validation rows turned round: the first look is the best, and stays."""
    against = replace(table, targets={**table.targets, "purchase": 1 - table.targets["purchase"]})
    knobs = {"tasks": ("purchase",), "lr": 0.002}
    once, often = (new(epochs=epochs, **knobs).fit(table, against) for epochs in (1, 12))
    assert often.score(table) == once.score(table)
    assert new(epochs=12, **knobs).fit(table).score(table) > often.score(table) + 0.05


def test_random_state_decides_alone(table):
    first = new(epochs=1).fit(table).predict_proba(table)["purchase"]
    torch.manual_seed(7)
    np.testing.assert_array_equal(new(epochs=1).fit(table).predict_proba(table)["purchase"], first)
    assert not np.array_equal(new(epochs=1, random_state=1).fit(table).predict_proba(table)["purchase"], first)


def test_fit_leaves_every_global_random_state_as_it_was(table):
    before, numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    new(epochs=1).fit(table)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy, np.random.get_state()[1])


def test_clone_copies_the_arguments():
    model = new(weights=(1.0, 0.5))
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize(("arguments", "message"), [
    ({"tasks": ("click",)}, "no target 'click'; the targets are kind, purchase, spend"),
    ({"weights": (1.0,)}, "weights has 1 entries, but there are 2 tasks"),
    ({"user": "household"}, "no field 'household'; the table's fields are age, item, user"),
    ({"views": ("images",)}, "choose one or both of collaborative, content"),
    ({"views": "content"}, r"views is the string 'content', but must be a sequence: write \('content',\)"),
    ({"tasks": "spend"}, r"tasks is the string 'spend', but must be a sequence of names: write \('spend',\)"),
    ({"tasks": ("spend", "spend")}, "tasks spend, spend: one is named twice"),
    ({"user": "item"}, "user and item are both the field 'item': a pair needs two"),
])
def test_what_cannot_be_learned_is_refused(table, arguments, message):
    with pytest.raises(ValueError, match=message):
        new(**arguments).fit(table)


def test_validation_with_other_columns_is_refused(table):
    with pytest.raises(ValueError, match="the validation table lacks age"):
        new().fit(table, table.without("age"))


def without_label(table):
    return table.with_targets({"purchase": table.targets["purchase"]})


def never_observed(table):
    return replace(table, masks={**table.masks, "spend": torch.zeros(ROWS, dtype=torch.bool)})


def new_class(table):
    return replace(table, targets={**table.targets, "kind": table.targets["kind"] + 1})


def counted(table):
    return replace(table, targets={**table.targets, "spend": table.targets["kind"]})


@pytest.mark.parametrize(("change", "message"), [
    (without_label, "no target 'spend'; the targets are purchase"),
    (never_observed, "target 'spend' is observed in no row"),
    (new_class, "target 'kind' has class 3, but those learned are 0 … 2"),
    (counted, "target 'spend' is multiclass, but it was learned as regression"),
])
def test_rows_to_judge_by_need_the_targets_that_were_learned(table, change, message):
    model = new(tasks=("purchase", "spend", "kind"), epochs=1)
    with pytest.raises(ValueError, match=f"the validation table: {message}"):
        model.fit(table, change(table))
    with pytest.raises(ValueError, match=f"the table to score: {message}"):
        model.fit(table).score(change(table))


@pytest.mark.parametrize("views", [("content",), ("collaborative", "content")])
def test_content_view_without_content_is_refused(table, views):
    bare = replace(table.without("age"), numeric=table.numeric[:, :0])
    with pytest.raises(ValueError, match="the content view has no columns: the table holds ids alone; use"):
        new(views=views).fit(bare)
    assert new(views=("collaborative",)).fit(bare).scores(bare)["purchase"] > 0.97


def test_failed_fit_keeps_what_was_learned(table):
    model = new(epochs=1).fit(table)
    before = model.predict_proba(table)["purchase"]
    with pytest.raises(ValueError, match="the validation table"):
        model.fit(table, without_label(table))
    np.testing.assert_array_equal(model.predict_proba(table)["purchase"], before)


def test_weight_decay_shrinks_the_weights(table):
    sizes = [sum(p.square().sum().item() for p in new(weight_decay=decay, epochs=4).fit(table).model_.parameters())
             for decay in (0.0, 1.0)]
    assert sizes[1] < 0.5 * sizes[0]


def test_pairs_with_other_columns_or_unknown_ids_are_refused(fitted, table):
    with pytest.raises(ValueError, match="the table of pairs lacks age: the fields must be age, item, user"):
        fitted.predict(table.without("age"))
    ids = table.categorical.clone()
    ids[5, 2] = USERS
    with pytest.raises(ValueError, match=f"categorical field 'user', row 5: id {USERS} is outside the vocabulary"):
        fitted.predict_proba(replace(table, categorical=ids, cardinalities=(3, ITEMS, USERS + 1)))


def test_score_needs_the_labels(fitted, table):
    with pytest.raises(ValueError, match="the table to score: no target 'spend'; the targets are purchase"):
        fitted.score(without_label(table))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score"])
def test_unfitted_model_says_so(table, method):
    with pytest.raises(NotFittedError):
        getattr(new(), method)(table)

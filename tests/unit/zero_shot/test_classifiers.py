"""What all zero-shot classifiers promise."""

import pytest
import torch
from sklearn.exceptions import NotFittedError

from mtl_tutorial.zero_shot.class_statistics import centred, class_splits
from mtl_tutorial.zero_shot.dap import DAP
from mtl_tutorial.zero_shot.devise import DeViSE
from mtl_tutorial.zero_shot.embedding_regression import EmbeddingRegression
from mtl_tutorial.zero_shot.eszsl import ESZSL
from mtl_tutorial.zero_shot.harmonic import per_class_accuracy

CLASSIFIERS = {
    "DAP": lambda: DAP(0.1),
    "ESZSL": lambda: ESZSL(0.1, 0.1),
    "into signatures": lambda: EmbeddingRegression(0.1),
    "into features": lambda: EmbeddingRegression(0.1, "features"),
    "DeViSE": lambda: DeViSE(steps=40),
}
each_classifier = pytest.mark.parametrize("build", CLASSIFIERS.values(), ids=CLASSIFIERS)


@each_classifier
def test_all_splits_at_once_are_each_split_alone(build, drawn):
    x, y, table = drawn
    seen = class_splits(6, 2)
    together = build().fit(x, y, table, seen)
    scores, choices = together.decision_function(x), together.predict(x)
    assert scores.shape == (15, len(x), 6)
    for split in (0, 4, 14):
        alone = build().fit(x, y, table, seen[split])
        torch.testing.assert_close(scores[split], alone.decision_function(x), rtol=1e-7, atol=1e-7)
        assert torch.equal(choices[split], alone.predict(x))


@each_classifier
def test_rows_of_unseen_classes_have_no_influence(build, drawn):
    x, y, table = drawn
    seen = torch.tensor([True, True, False, True, True, False])
    garbage = torch.where(seen[y].unsqueeze(-1), x, 1e3 * x.flip(0))
    found, expected = (build().fit(rows, y, table, seen).decision_function(x) for rows in (garbage, x))
    if build().__class__ is not DeViSE:         # whose order of rows would change as well
        alone = build().fit(x[seen[y]], y[seen[y]], table, seen).decision_function(x)
        torch.testing.assert_close(alone, expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@each_classifier
def test_predictions_are_the_best_among_those_asked_for(build, drawn):
    x, y, table = drawn
    seen = torch.tensor([True, True, False, True, True, False])
    learner = build().fit(x, y, table, seen)
    scores = learner.decision_function(x)
    assert set(learner.predict(x).tolist()) <= {2, 5}
    assert torch.equal(learner.predict(x, torch.ones(6, dtype=torch.bool)), scores.argmax(-1))
    assert torch.equal(learner.predict(x) == 5, scores[:, 5] > scores[:, 2])


@each_classifier
def test_unseen_classes_are_recognised_where_signatures_make_the_features(build, drawn):
    _, _, table = drawn
    generator = torch.Generator().manual_seed(5)
    y = torch.arange(6).repeat_interleave(60)
    mixing = torch.eye(4, 5).double() + 0.1
    x = table[y] @ mixing + 0.2 * torch.randn(360, 5, generator=generator, dtype=torch.float64)
    x = torch.cat([x, torch.ones(360, 1).double()], 1)
    seen = torch.tensor([True, True, True, False, False, True])
    signatures = table if isinstance(build(), DAP) else torch.nn.functional.normalize(centred(table, seen), dim=-1)
    found = build().fit(x, y, signatures, seen).predict(x)
    held_out = ~seen[y]
    assert (found == y)[held_out].double().mean() > 0.9
    wrong = signatures[[0, 1, 2, 4, 3, 5]]      # with the signatures of the two exchanged it is wrong as often
    assert (build().fit(x, y, wrong, seen).predict(x) == y)[held_out].double().mean() < 0.1


@each_classifier
def test_seen_classes_are_those_with_rows_unless_told(build, drawn):
    x, y, table = drawn
    some = y != 3
    learner = build().fit(x[some], y[some], table)
    assert learner.seen_.tolist() == [True, True, True, False, True, True]
    assert (learner.predict(x) == 3).all()


@pytest.mark.parametrize(("seen", "problem"), [
    (torch.tensor([True, False, False, False, False, False]), "fewer than two seen classes"),
    (torch.ones(5, dtype=torch.bool), "seen speaks of 5 classes, but there are 6 signatures"),
])
def test_splits_that_teach_nothing_are_refused(drawn, seen, problem):
    x, y, table = drawn
    with pytest.raises(ValueError, match=problem):
        ESZSL().fit(x, y, table, seen)


def test_a_seen_class_without_rows_is_named(drawn):
    x, y, table = drawn
    with pytest.raises(ValueError, match="class 4 is called seen but has no row"):
        ESZSL().fit(x[y != 4], y[y != 4], table, torch.ones(6, dtype=torch.bool))


def test_other_directions_are_refused():
    with pytest.raises(ValueError, match="into is 'images', but must be 'signatures' or 'features'"):
        EmbeddingRegression(into="images")


def test_a_strong_pull_towards_the_identity_leaves_the_product_of_row_and_signature(drawn):
    x, y, table = drawn
    x = x[:, :4]
    scores = EmbeddingRegression(1e9, towards="identity").fit(x, y, table).decision_function(x)
    torch.testing.assert_close(scores, x @ table.T, rtol=1e-5, atol=1e-5)


def test_an_identity_wants_two_sides_of_one_width(drawn):
    with pytest.raises(ValueError, match="features have 5 entries and signatures 4"):
        EmbeddingRegression(towards="identity").fit(*drawn)


@pytest.mark.parametrize(("into", "towards"), [("signatures", "one"), ("features", "identity")])
def test_other_places_to_shrink_to_are_refused(into, towards):
    with pytest.raises(ValueError, match=f"towards is '{towards}', but must be 'zero' or, into signatures"):
        EmbeddingRegression(into=into, towards=towards)


def test_dap_wants_a_table_of_zeros_and_ones(drawn):
    x, y, table = drawn
    with pytest.raises(ValueError, match=r"a table of attributes .* of zeros and ones"):
        DAP().fit(x, y, table - 0.5)


def test_an_attribute_that_never_varies_decides_nothing(drawn):
    x, y, table = drawn
    seen = torch.tensor([True, True, False, True, True, True])          # attribute 3 is that of class 2 alone
    learner = DAP().fit(x, y, table, seen)
    assert learner.learnable_.tolist() == [True, True, True, False]
    other = table.clone()
    other[2, 3] = 0
    torch.testing.assert_close(learner.decision_function(x), DAP().fit(x, y, other, seen).decision_function(x))


def test_devise_walks_the_path_of_the_whole_map(drawn):
    x, y, table = drawn
    seen = torch.tensor([True, True, False, True, True, False])
    learner = DeViSE(margin=0.3, rate=0.2, steps=12, batch=4, seed=3)
    learner.fit(x, y, table, seen)
    draw = torch.Generator().manual_seed(3)
    whole, momentum = torch.zeros(4, 5, requires_grad=True, dtype=torch.float64), 0.0
    for _ in range(12):
        rows = torch.cat([(y == c).nonzero().squeeze(-1)[torch.randint(int((y == c).sum()), (4,), generator=draw)]
                          for c in range(6)])
        rows = rows[seen[y[rows]]]
        loss = sum(torch.relu(0.3 - table[y[n]] @ whole @ x[n] + table[c] @ whole @ x[n])
                   for n in rows for c in range(6) if seen[c] and c != y[n]) / len(rows)
        [slope] = torch.autograd.grad(loss, whole)
        momentum = 0.9 * momentum + slope
        whole = (whole - 0.2 * momentum).detach().requires_grad_()
    torch.testing.assert_close(learner.map_.T, whole.detach(), rtol=1e-9, atol=1e-9)


@each_classifier
def test_score_is_the_accuracy_per_unseen_class_among_the_classes_asked_for(build, drawn):
    x, y, table = drawn
    seen = class_splits(6, 2)
    learner = build().fit(x, y, table, seen)
    everything = torch.ones(6, dtype=torch.bool)
    torch.testing.assert_close(learner.score(x, y), per_class_accuracy(learner.predict(x), y, ~seen))
    torch.testing.assert_close(learner.score(x, y, everything),
                               per_class_accuracy(learner.decision_function(x).argmax(-1), y, ~seen))


@each_classifier
def test_asked_before_it_has_learned_it_says_so(build, drawn):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        build().predict(drawn[0])


@each_classifier
def test_numbers_that_are_not_finite_are_refused_with_their_place(build, drawn):
    x, y, table = drawn
    x = x.clone()
    x[7, 2] = float("nan")
    with pytest.raises(ValueError, match=r"x holds a number that is not finite, at \[7, 2\]"):
        build().fit(x, y, table)


@each_classifier
def test_signatures_take_the_dtype_of_the_features(build, drawn):
    x, y, table = drawn
    found, expected = (build().fit(x, y, signatures).decision_function(x) for signatures in (table.float(), table))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_strengths_out_of_range_are_refused(drawn):
    x, y, table = drawn
    for build in (lambda: ESZSL(-1.0), lambda: EmbeddingRegression(0.0), lambda: DAP(float("nan"))):
        with pytest.raises(ValueError, match="must be above 0"):
            build().fit(x, y, table)
    with pytest.raises(ValueError, match="calibration_share=1"):
        DAP(calibration_share=1.0)

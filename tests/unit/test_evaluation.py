import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from mtl_tutorial.evaluation import (
    auc,
    calibration_error,
    expected_auc,
    gauc,
    interval,
    log_loss,
    multi_task_gain,
    ndcg_at_k,
    ndcg_by_group,
    paired,
    recall_at_k,
    rmse,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def coarse(rng, rows):
    """Scores with many ties."""
    return rng.integers(0, 6, rows) / 5


def test_auc_is_scikit_learns_ties_included(rng):
    labels, scores = rng.integers(0, 2, 300), coarse(rng, 300)
    wins = [float(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    assert auc(labels, scores) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
    assert auc(labels, scores) == pytest.approx(np.mean(wins), abs=1e-12)


@pytest.mark.parametrize("label", [0, 1])
def test_auc_of_one_class_is_not_a_number(label):
    assert math.isnan(auc([label] * 4, [0.1, 0.2, 0.3, 0.4]))


def gauc_by_loop(labels, scores, groups):
    total, weight = 0.0, 0
    for group in set(groups):
        rows = groups == group
        if len(set(labels[rows])) == 2:
            total += rows.sum() * metrics.roc_auc_score(labels[rows], scores[rows])
            weight += rows.sum()
    return total / weight


@pytest.mark.parametrize("seed", range(4))
def test_gauc_is_the_row_weighted_mean_over_users_who_have_both_classes(seed):
    rng = np.random.default_rng(seed)
    groups = rng.choice([3, 7, 11, 400, 5000], 120, p=[0.4, 0.3, 0.2, 0.07, 0.03])
    labels = np.where(groups == 7, 1, rng.integers(0, 2, 120))          # user 7 has positives only
    scores = coarse(rng, 120)
    assert gauc(labels, scores, groups) == pytest.approx(gauc_by_loop(labels, scores, groups), abs=1e-12)


def test_gauc_ignores_what_separates_users_alone():
    labels, groups = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    scores = np.array([1.0, 2.0, 101.0, 102.0])
    assert gauc(labels, scores, groups) == 1.0
    assert auc(labels, scores) == 0.75


def test_gauc_without_a_user_of_both_classes_is_not_a_number():
    assert math.isnan(gauc([0, 0, 1, 1], [0.1, 0.9, 0.2, 0.3], [1, 1, 2, 2]))


def test_log_loss_is_scikit_learns_also_where_a_class_is_missing(rng):
    labels, probabilities = rng.integers(0, 2, 50), rng.uniform(0.01, 0.99, 50)
    assert log_loss(labels, probabilities) == pytest.approx(metrics.log_loss(labels, probabilities), abs=1e-12)
    assert log_loss([1, 1], [0.5, 0.25]) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_log_loss_of_classes_takes_float32_rows_that_sum_to_one_roughly(rng):
    probabilities = rng.dirichlet(np.ones(3), 40)
    labels = rng.integers(0, 2, 40)                                     # class 2 does not occur
    expected = -np.log(probabilities[np.arange(40), labels]).mean()
    assert log_loss(labels, probabilities.astype(np.float32)) == pytest.approx(expected, rel=1e-5)


def test_rmse_is_in_the_targets_unit():
    assert rmse([1.0, 2.0, 5.0], [1.0, 4.0, 4.0]) == pytest.approx(math.sqrt((0 + 4 + 1) / 3), abs=1e-12)


def test_calibration_error_equals_a_loop_over_bins(rng):
    probabilities = rng.permutation(np.linspace(0.01, 0.99, 103))
    labels = (rng.uniform(size=103) < probabilities**2).astype(int)
    rows = sorted(range(103), key=lambda row: probabilities[row])
    sizes = [11] * 3 + [10] * 7
    expected, start = 0.0, 0
    for size in sizes:
        members = rows[start:start + size]
        start += size
        expected += size / 103 * abs(np.mean(labels[members]) - np.mean(probabilities[members]))
    assert calibration_error(labels, probabilities) == pytest.approx(expected, abs=1e-12)
    assert expected > 0.05


def test_calibration_error_of_a_constant_does_not_depend_on_the_order_of_rows():
    probabilities = np.full(100, 0.5)
    assert calibration_error([0] * 50 + [1] * 50, probabilities) == pytest.approx(0)
    assert calibration_error([0, 1] * 50, probabilities) == pytest.approx(0)
    assert calibration_error([1] * 100, probabilities) == pytest.approx(0.5)


def test_calibration_error_takes_fewer_rows_than_bins():
    assert calibration_error([0, 1], [0.2, 0.9]) == pytest.approx((0.2 + 0.1) / 2)


def recall_by_loop(relevant, scores, k):
    shares = []
    for mine, score in zip(relevant, scores, strict=True):
        if mine.sum():
            best = [item for item in np.argsort(-score) if score[item] > -np.inf][:k]
            shares.append(sum(mine[item] for item in best) / mine.sum())
    return np.mean(shares)


@pytest.mark.parametrize("k", [1, 3, 10, 25])
def test_recall_at_k_equals_a_loop_over_users_also_for_k_above_the_items(rng, k):
    relevant, scores = rng.uniform(size=(30, 10)) < 0.2, rng.normal(size=(30, 10))
    relevant[4] = False
    assert recall_at_k(relevant, scores, k) == pytest.approx(recall_by_loop(relevant, scores, k), abs=1e-12)
    scores[:, 2] = -np.inf
    assert recall_at_k(relevant, scores, k) == pytest.approx(recall_by_loop(relevant, scores, k), abs=1e-12)


def test_an_excluded_item_is_no_hit_however_long_the_list():
    assert recall_at_k([[1, 1, 0]], [[-np.inf, 2.0, 1.0]], k=3) == 0.5


def test_expected_auc_weighs_every_pair_of_rows_by_its_chance(rng):
    chances, scores = rng.uniform(size=30), coarse(rng, 30)
    weight = np.outer(chances, 1 - chances)
    wins = (scores[:, None] > scores) + 0.5 * (scores[:, None] == scores)
    assert expected_auc(chances, scores) == pytest.approx((weight * wins).sum() / weight.sum(), abs=1e-12)


def test_expected_auc_is_the_mean_auc_of_labels_drawn_from_the_chances(rng):
    chances, scores = rng.beta(1, 9, 2000), rng.normal(size=2000)
    scores += 3 * chances
    found = [auc(rng.uniform(size=2000) < chances, scores) for _ in range(200)]
    assert expected_auc(chances, scores) == pytest.approx(np.mean(found), abs=4 * stats.sem(found) + 1 / 2000)


def test_expected_auc_of_certain_labels_is_auc_or_undefined(rng):
    labels, scores = rng.integers(0, 2, 50), coarse(rng, 50)
    assert expected_auc(labels, scores) == pytest.approx(auc(labels, scores), abs=1e-12)
    assert math.isnan(expected_auc(np.zeros(3), np.ones(3)))
    assert math.isnan(expected_auc(np.ones(3), np.ones(3)))


def test_ndcg_at_k_is_scikit_learns_over_users_with_a_relevant_item(rng):
    relevant, scores = rng.uniform(size=(20, 8)) < 0.3, rng.normal(size=(20, 8))
    relevant[0] = False
    expected = []
    for mine, score in zip(relevant[1:], scores[1:], strict=True):
        if mine.any():
            gains = mine[np.argsort(-score)][:3] / np.log2(np.arange(2, 5))
            ideal = np.sort(mine)[::-1][:3] / np.log2(np.arange(2, 5))
            expected.append(gains.sum() / ideal.sum())
    assert ndcg_at_k(relevant, scores, 3) == pytest.approx(np.mean(expected), abs=1e-12)
    assert ndcg_at_k(relevant, scores, 20) <= 1
    some = relevant.any(1)
    assert ndcg_at_k(relevant, scores, 3) == pytest.approx(metrics.ndcg_score(relevant[some], scores[some], k=3))


def test_ndcg_takes_excluded_items():
    assert ndcg_at_k([[0, 1, 0]], [[-np.inf, 2.0, 1.0]], k=2) == pytest.approx(1.0)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_ndcg_credits_no_excluded_item_also_where_the_list_runs_out(k):
    assert ndcg_at_k([[1, 1, 0]], [[-np.inf, -1e30, -np.inf]], k) == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert ndcg_at_k([[1, 0]], [[-np.inf, -np.inf]], k) == 0


@pytest.mark.parametrize("metric", [recall_at_k, ndcg_at_k])
def test_ranking_metric_without_any_relevant_item_is_not_a_number(metric):
    assert math.isnan(metric(np.zeros((3, 4)), np.ones((3, 4)), 2))


@pytest.mark.parametrize("k", [1, 2, 5, 30])
@pytest.mark.parametrize("seed", range(3))
def test_ndcg_by_group_is_scikit_learns_over_groups_of_any_size_ties_included(seed, k):
    rng = np.random.default_rng(seed)
    groups = rng.choice([3, 7, 11, 400, 5000], 150, p=[0.4, 0.3, 0.2, 0.07, 0.03])
    relevance = np.where(groups == 7, 0, rng.integers(0, 4, 150))       # nothing in group 7 is relevant
    scores = coarse(rng, 150)
    expected = [metrics.ndcg_score([relevance[groups == group]], [scores[groups == group]], k=k)
                for group in (3, 11, 400, 5000)]
    assert ndcg_by_group(relevance, scores, groups, k) == pytest.approx(np.mean(expected), abs=1e-12)


def test_ndcg_by_group_by_hand():
    relevance, scores, groups = [0, 3, 1, 0, 2], [0.9, 0.5, 0.1, 0.3, 0.2], [4, 4, 4, 9, 9]
    second, third = 1 / math.log2(3), 1 / 2                             # the discounts of these ranks
    first_group = (3 * second + 1 * third) / (3 + 1 * second)
    assert ndcg_by_group(relevance, scores, groups, 3) == pytest.approx((first_group + second) / 2, abs=1e-12)
    assert ndcg_by_group(relevance, scores, groups, 1) == 0


def test_ties_in_ndcg_share_their_mean_discount_also_across_the_end_of_the_list():
    second = 1 / math.log2(3)
    for relevance in ([1, 0, 0], [0, 1, 0], [0, 0, 1]):                 # the order of the rows does not matter
        assert ndcg_by_group(relevance, [5.0, 5.0, 5.0], [0, 0, 0], 2) == pytest.approx((1 + second + 0) / 3)
    assert ndcg_by_group([0, 1, 0], [9.0, 5.0, 5.0], [0, 0, 0], 2) == pytest.approx((second + 0) / 2)


def test_a_relevant_row_alone_in_its_group_is_ranked_perfectly():
    assert ndcg_by_group([2.0], [0.1], [5], 10) == 1.0


def test_ndcg_by_group_without_a_relevant_row_is_not_a_number():
    assert math.isnan(ndcg_by_group([0, 0, 0], [0.1, 0.2, 0.3], [1, 1, 2], 2))


def test_ndcg_by_group_refuses_an_empty_list_and_negative_relevance():
    with pytest.raises(ValueError, match="k=0: a list holds at least one row"):
        ndcg_by_group([1, 0], [0.1, 0.2], [0, 0], 0)
    with pytest.raises(ValueError, match=r"row 1 has -2\.0"):
        ndcg_by_group([1, -2, -3], [0.1, 0.2, 0.3], [0, 0, 0], 2)


def test_multi_task_gain_turns_the_sign_where_lower_is_better():
    assert multi_task_gain([0.88, 0.45], [0.80, 0.50], [True, False]) == pytest.approx((0.1 + 0.1) / 2)
    assert multi_task_gain([0.72], [0.80], [True]) == pytest.approx(-0.1)
    assert multi_task_gain([0.55], [0.50], [False]) == pytest.approx(-0.1)


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_interval_is_students(rng, confidence):
    values = rng.normal(3, 2, 7)
    found = interval(values, confidence)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.mean == pytest.approx(values.mean())
    assert found.repeats == 7


def test_paired_interval_is_that_of_the_differences(rng):
    baseline = rng.normal(0.7, 0.1, 6)
    ours = baseline + rng.normal(0.01, 0.002, 6)
    low, high = stats.ttest_rel(ours, baseline).confidence_interval(0.95)
    found = paired(ours, baseline)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.low > 0
    assert paired(baseline, ours).high < 0


def test_interval_reads_as_mean_and_half_width():
    assert str(interval([1.0, 2.0, 3.0])) == "2.0000 ± 2.4841"


@pytest.mark.parametrize("values", [[], [0.7], 0.7, [[0.7, 0.8]]])
def test_interval_needs_two_repeats(values):
    with pytest.raises(ValueError, match="at least two repeats, not shape"):
        interval(values)


def test_pairs_must_be_of_one_length():
    with pytest.raises(ValueError, match=r"two lists of one length, not \(2,\) and \(3,\)"):
        paired([1, 2], [1, 2, 3])

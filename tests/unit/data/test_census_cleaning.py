import numpy as np
import pytest

from mtl_tutorial.data import census_cleaning as cleaning
from mtl_tutorial.data.census import read_census

MIGRATION = ["migration_msa", "migration_region", "migration_within_region", "migration_from_sunbelt"]


@pytest.fixture(scope="module")
def train():
    return read_census("train")


@pytest.fixture(scope="module")
def test():
    return read_census("test")


def test_missing_values_become_a_category_and_are_counted(train):
    named, counts = cleaning.name_missing(train)
    assert counts.to_dict() == dict.fromkeys(MIGRATION, 99_696) | {
        "previous_state": 708, "father_birth_country": 6_713, "mother_birth_country": 6_119, "birth_country": 3_393}
    assert (named["birth_country"] == "missing").sum() == 3_393
    assert not (named.select_dtypes("category").astype(object) == "?").any(axis=None)


def test_migration_is_missing_in_all_of_1995_and_in_none_of_1994(train):
    for name in MIGRATION:
        assert ((train[name] == "?") == (train["year"] == 95)).all()


def test_repeats_are_dropped_whatever_their_weight(train):
    kept, count = cleaning.drop_repeats(train)
    assert count == 46_627
    assert len(kept) == len(train) - count
    assert not kept.drop(columns="instance_weight").duplicated().any()
    assert cleaning.drop_repeats(kept)[1] == 0


def test_test_rows_seen_in_training_are_found(train, test):
    seen = cleaning.seen_in(test, train)
    assert int(seen.sum()) == 26_754
    assert cleaning.seen_in(train.head(5), train).all()
    stranger = test.head(1).assign(age=90, weeks_worked=1)
    assert not cleaning.seen_in(stranger, train).any()


def test_contradictions_are_counted_rule_by_rule(train):
    broken = cleaning.contradictions(train)
    assert broken.sum().to_dict() == {
        "born in the United States and abroad": 3,
        "married or once married before 15": 7,
        "files a tax return before 15": 4,
        "bachelor's degree before 18": 2,
        "paid less than a dollar an hour": 4,
    }
    kept, count = cleaning.drop_contradictions(train)
    assert count == broken.any(axis=1).sum() == len(train) - len(kept)
    assert not cleaning.contradictions(kept).any(axis=None)


def test_top_codes_are_capped_at_what_training_shows_below_them(train, test):
    capped, counts = cleaning.cap_top_codes(test, train)
    assert counts.to_dict() == {"wage_per_hour": 0, "capital_gains": 188, "capital_losses": 0, "stock_dividends": 6}
    assert capped["capital_gains"].max() == 41_310
    assert capped["capital_losses"].equals(test["capital_losses"])


def test_logarithms_stand_beside_the_amounts(train):
    added, shares = cleaning.add_log_amounts(train)
    assert np.allclose(np.expm1(added["log_capital_gains"]), train["capital_gains"])
    assert shares.round(3).to_dict() == {
        "wage_per_hour": 0.057, "capital_gains": 0.037, "capital_losses": 0.02, "stock_dividends": 0.106}
    assert added[list(train)].equals(train)
    assert set(added) - set(train) == set(cleaning.LOG_AMOUNTS)


def test_preparing_takes_its_limits_from_training(train, test):
    modest = train[train["capital_gains"] < 5_000]
    prepared = cleaning.prepare(test, modest)
    assert prepared["capital_gains"].max() == modest["capital_gains"].max()
    assert prepared["log_capital_gains"].max() == pytest.approx(np.log1p(modest["capital_gains"].max()))


def test_steps_leave_their_argument_alone(train):
    before = train.copy()
    for step in (cleaning.name_missing, cleaning.drop_repeats, cleaning.drop_contradictions,
                 cleaning.add_log_amounts):
        step(train)
    cleaning.cap_top_codes(train, train)
    assert train.equals(before)

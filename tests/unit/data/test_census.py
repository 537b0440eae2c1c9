import pandas as pd
import pytest
import torch

from mtl_tutorial.data import census, files
from mtl_tutorial.data.census import census_tables, encode, read_census, targets
from mtl_tutorial.data.census_cleaning import LOG_AMOUNTS, prepare
from mtl_tutorial.data.census_columns import COLUMNS, EDUCATION
from mtl_tutorial.data.columns import DataError


@pytest.fixture(scope="module")
def train():
    return read_census("train")


@pytest.fixture(scope="module")
def test():
    return read_census("test")


def test_rows_and_columns_are_those_of_the_source(train, test):
    assert train.shape == (199_523, 42)
    assert test.shape == (99_762, 42)
    assert list(train) == list(test) == list(COLUMNS)


def test_first_person_is_that_of_the_source(train):
    person = train.iloc[0]
    assert (person["age"], person["education"], person["marital_status"]) == (73, "High school graduate", "Widowed")
    assert (person["instance_weight"], person["year"], person["income"]) == (1700.09, 95, "- 50000.")


def test_label_rates_are_the_published_ones(train):
    rates = {name: round(float(label.mean()), 3) for name, label in targets(train).items()}
    assert rates == {"income": 0.062, "never_married": 0.433, "education": 0.196}


@pytest.mark.parametrize(("task", "published"), [("income", 0.1768), ("education", 0.2373)])
def test_label_correlations_are_the_papers_within_the_error_of_its_sample(train, task, published):
    labels = targets(train)
    correlation = torch.corrcoef(torch.stack([labels[task], labels["never_married"]]))[0, 1].abs()
    assert abs(correlation - published) < 2 / 10_000 ** 0.5


def test_college_means_a_degree():
    frame = pd.DataFrame({name: pd.Categorical([column.values[0]] * 17, column.values)
                          for name, column in COLUMNS.items() if name in ("income", "marital_status")})
    labels = targets(frame.assign(education=pd.Categorical(EDUCATION, EDUCATION)))
    assert int(labels["education"].sum()) == 6
    assert labels["education"][EDUCATION.index("Some college but no degree")] == 0


@pytest.mark.parametrize(("group", "names"), census.GROUPS.items())
def test_tables_hold_the_groups_tasks(group, names):
    train, test = census_tables(group)
    assert (len(train), len(test)) == (199_523, 99_762)
    assert tuple(train.targets) == tuple(test.targets) == names
    assert train.schema == test.schema
    assert all(label.dtype == torch.float32 and set(label.unique().tolist()) == {0.0, 1.0}
               for label in train.targets.values())
    train.validate()
    test.validate()


@pytest.mark.parametrize(("group", "with_education", "hidden"), [
    (1, False, {"income", "marital_status", "instance_weight", "education"}),
    (1, True, {"income", "marital_status", "instance_weight"}),
    (2, True, {"income", "marital_status", "instance_weight", "education"}),
])
def test_no_label_is_a_feature(group, with_education, hidden):
    train, _ = census_tables(group, rows=10, with_education=with_education)
    assert set(train.field_names) | set(census.NUMERIC) == (set(COLUMNS) | set(LOG_AMOUNTS)) - hidden
    assert train.schema.numeric == len(census.NUMERIC)


def test_vocabularies_and_scales_come_from_the_training_rows(train):
    young, old = (train[rows].reset_index(drop=True) for rows in (train["age"] < 15, train["age"] >= 15))
    table, other = encode(prepare(young, young), prepare(old, young), with_education=True)
    education = table.field_names.index("education")
    assert table.cardinalities[education] == 2
    assert set(other.categorical[:, education].tolist()) == {0}
    torch.testing.assert_close(table.numeric.mean(0), torch.zeros(11), atol=1e-4, rtol=0)
    assert other.numeric[:, 0].min() > table.numeric[:, 0].max()


def test_feature_that_a_step_dropped_is_left_out(train):
    few = train.head(1000).drop(columns=["race", "age"])
    table, _ = encode(few, few)
    assert "race" not in table.field_names
    assert table.schema.numeric == 6


def test_numbers_are_standardised():
    train, _ = census_tables(1)
    torch.testing.assert_close(train.numeric.mean(0), torch.zeros(11), atol=1e-4, rtol=0)
    torch.testing.assert_close(train.numeric.std(0), torch.ones(11), atol=1e-4, rtol=0)


def test_rows_are_drawn_by_the_seed():
    (first, whole), (again, _), (other, _) = (census_tables(1, rows=500, seed=seed) for seed in (3, 3, 4))
    assert len(first) == 500
    assert len(whole) == 99_762
    assert first.numeric.equal(again.numeric)
    assert not first.numeric.equal(other.numeric)
    assert first.schema == other.schema
    assert len(census_tables(1, test_rows=100)[1]) == 100


@pytest.mark.parametrize(("arguments", "problem"), [
    ({"group": 3}, "group 3 is unknown"),
    ({"rows": 200_000}, "200000 rows asked for, but there are 199523"),
    ({"rows": 0}, "0 rows asked for"),
    ({"test_rows": -1}, "-1 rows asked for"),
])
def test_impossible_arguments_are_refused(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        census_tables(**arguments)


def test_tables_of_another_folder_are_not_taken_from_the_cache(tmp_path, monkeypatch):
    census_tables(1, rows=10)
    monkeypatch.setenv("MTL_TUTORIAL_DATA", str(tmp_path))
    assert files.folder() == tmp_path
    with pytest.raises(DataError, match=r"census_income_train.parquet is missing"):
        census_tables(1, rows=10)

import pandas as pd
import pytest
import torch

from mtl_tutorial.data.encoding import UNSEEN, Encoder

TRAIN = pd.DataFrame({"colour": ["red", "blue", "red"], "code": [7, 3, 3], "price": [1, 2, 3], "flag": [4, 4, 4]})
TEST = pd.DataFrame({"colour": ["blue", "green"], "code": [7, 5], "price": [2, 4], "flag": [4, 5]})


@pytest.fixture
def encoder():
    return Encoder(["colour", "code"], ["price", "flag"]).fit(TRAIN)


def test_vocabulary_holds_training_values_only(encoder):
    assert encoder.vocabularies_ == [["blue", "red"], [3, 7]]
    assert encoder.cardinalities_ == (3, 3)
    ids, _ = encoder.transform(TEST)
    assert ids.tolist() == [[1, 2], [UNSEEN, UNSEEN]]


def test_no_training_row_is_unseen(encoder):
    ids, _ = encoder.transform(TRAIN)
    assert ids.dtype == torch.int64
    assert (ids > UNSEEN).all()


def test_numbers_are_standardised_by_the_training_rows(encoder):
    _, train = encoder.transform(TRAIN)
    _, test = encoder.transform(TEST)
    assert train.dtype == torch.float32
    torch.testing.assert_close(train[:, 0].std(correction=0), torch.tensor(1.0))
    torch.testing.assert_close(test[:, 0], torch.tensor([0.0, 2 / (2 / 3) ** 0.5]))


def test_column_that_never_varies_stays_finite(encoder):
    _, test = encoder.transform(TEST)
    assert test[:, 1].tolist() == [0.0, 1.0]


def test_categories_that_occur_in_no_training_row_get_no_id():
    frame = TRAIN.assign(colour=pd.Categorical(TRAIN["colour"], categories=["green", "red", "blue"]))
    assert Encoder(["colour"], ["price"]).fit(frame).vocabularies_ == [["red", "blue"]]

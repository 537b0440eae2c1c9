from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.food_reviews import food_reviews
from mtl_tutorial.data.sentence_vectors import COLUMNS, READERS, file_of, sentence_vectors
from mtl_tutorial.data.sentence_vectors_source import packed
from mtl_tutorial.data.snippets import snippets
from mtl_tutorial.text.sentence_encoder import SentenceEncoder

HALF = 2.0 ** -11                               # the largest relative error of rounding to float16
TINY = 2.0 ** -25                               # and of numbers below its normal range, absolute


@pytest.fixture(scope="module")
def encoder():
    return SentenceEncoder()


@pytest.fixture
def shelf(folder):
    """A data folder that holds the texts, but no vectors."""
    for name in ("food_reviews.parquet", "snippets.parquet"):
        (folder / name).symlink_to(Path(__file__).parents[3] / "data" / name)
    (folder / files.HASHES).write_text((Path(__file__).parents[3] / "data" / files.HASHES).read_text())
    return folder


@pytest.mark.parametrize("name", READERS)
def test_vectors_are_those_that_the_encoder_gives_now(name, encoder):
    texts = READERS[name]()["text"]
    rows = np.linspace(0, len(texts) - 1, min(48, len(texts))).astype(int)
    fresh, cached = encoder.encode(texts.iloc[rows]), sentence_vectors(name)[rows]
    assert ((cached - fresh).abs() <= fresh.abs() * HALF + TINY + 1e-6).all()


@pytest.mark.parametrize(("name", "count"), [
    ("food_reviews", 5_000), ("snippets", 6_000), ("customer_messages", 510), ("customer_intents", 34),
    ("product_classes", 20)])
def test_there_is_a_vector_of_length_one_for_each_text(name, count):
    vectors = sentence_vectors(name)
    assert vectors.shape == (count, 384)
    assert vectors.dtype == torch.float32
    assert (vectors.norm(dim=1) - 1).abs().max() < HALF


def test_rounding_to_float16_hardly_moves_the_auc_of_a_model_of_tweets(encoder):
    """On tweets, half of them to learn from: positive or negative."""
    rows = snippets()
    rows = rows[rows["domain"] == "tweet"].sample(600, random_state=0)
    exact, positive = encoder.encode(rows["text"]).numpy(), (rows["sentiment"] > 0).to_numpy()
    scores = []
    for vectors in (exact, sentence_vectors("snippets")[rows.index].numpy()):
        model = LogisticRegression(C=10).fit(vectors[:300], positive[:300])
        scores.append(roc_auc_score(positive[300:], model.decision_function(vectors[300:])))
    assert scores[0] > 0.8
    assert abs(scores[0] - scores[1]) < 5e-4


def test_reviews_without_repeats_find_their_vectors_by_their_index(encoder):
    last = food_reviews().iloc[[-1]]
    torch.testing.assert_close(sentence_vectors("food_reviews")[last.index], encoder.encode(last["text"]),
                               rtol=HALF, atol=1e-6)


def test_unknown_set_of_texts_is_named():
    with pytest.raises(ValueError, match="there are no vectors of 'emails'; there are: food_reviews, snippets, "):
        sentence_vectors("emails")


def test_missing_file_is_named_with_a_remedy(shelf):
    with pytest.raises(DataError, match=f"{file_of('snippets')} is missing; restore it .* 'make data'"):
        sentence_vectors("snippets")


def test_vectors_in_another_order_are_refused_and_the_row_is_named(shelf):
    texts = snippets()["text"]
    frame = packed(texts, torch.zeros(len(texts), 384))
    frame.loc[[3, 9], "text_sha256"] = frame.loc[[9, 3], "text_sha256"].to_numpy()
    files.write(shelf, file_of("snippets"), frame, COLUMNS)
    with pytest.raises(DataError, match="row 3 is the vector of another text; restore"):
        sentence_vectors("snippets")


def test_too_few_vectors_are_refused(shelf):
    texts = snippets()["text"].head(10)
    files.write(shelf, file_of("snippets"), packed(texts, torch.zeros(10, 384)), COLUMNS)
    with pytest.raises(DataError, match="10 vectors, but 6000 texts; restore"):
        sentence_vectors("snippets")


def test_vector_of_another_width_is_named_with_its_row(shelf, monkeypatch):
    frame = packed(snippets()["text"].head(4), torch.zeros(4, 380))
    with pytest.raises(DataError, match=r"column 'vector', row 0: .* is not 768 bytes"):
        files.write(shelf, file_of("snippets"), frame, COLUMNS)

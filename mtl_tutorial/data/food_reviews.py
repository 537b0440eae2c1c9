"""Fine-food reviews: 5,000 customers' texts about food, each called great or not.

4,000 training and 1,000 test reviews, each of another product; *great* is five stars, 65 in 100. Half are longer
than 51 words, and line breaks are still HTML (``<br />``), as in the source.

Sellers paste one review under several products: 20 training texts stand there before, and 7 test texts are training
texts as well. A model that remembers them would be rewarded for it, so :func:`food_reviews` leaves them out.

Reference: McAuley and Leskovec 2013, From Amateurs to Connoisseurs: Modeling the Evolution of User Expertise
through Online Reviews.
"""

from __future__ import annotations

import pandas as pd

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import Category, Column, Text

FILE = "food_reviews.parquet"
SPLITS = ("train", "test")

COLUMNS: dict[str, Column] = {
    "split": Category(SPLITS),
    "product": Text(10),                        # Amazon's number of the product
    "score": Category(("great", "other")),      # five stars; four or fewer
    "text": Text(10_000),
}


def read_food_reviews() -> pd.DataFrame:
    """Return the reviews as they are in the source: 4,000 training reviews, then 1,000 test reviews.

    Raises:
        DataError: the file is missing, damaged, or differs from its declaration or from its hash.
    """
    return files.read(FILE, COLUMNS)


def food_reviews() -> pd.DataFrame:
    """Return the reviews without repeated texts: 3,980 training reviews and 993 test reviews.

    Returns:
        Columns ``split``, ``product``, ``score`` and ``text``. The index is the row in the file, as in
        :func:`mtl_tutorial.data.sentence_vectors.sentence_vectors`.

    Raises:
        DataError: the data file is missing, damaged, or not what it should be.
    """
    kept, _ = drop_repeated_texts(read_food_reviews())
    return kept


def drop_repeated_texts(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Keep the first of the rows with the same text; as training rows come first, it is the test copy that goes.

    Returns:
        The new frame with the index of the old one, and the number of rows left out of each split.
    """
    repeated = frame["text"].duplicated()
    return frame[~repeated], repeated.groupby(frame["split"], observed=True).sum()

"""Sentences from four places, with the mean sentiment that 15 to 99 persons, mostly 20, read in each.

1,500 snippets of each domain: customers' reviews at Amazon, film reviews, opinion pieces of the New York Times, and
tweets. Most are one sentence of 10 to 25 words. ``sentiment`` runs from −4, extremely negative, to 4.

Sentences of one review or article stand in many rows: split by :func:`group_of`, or texts that are tested on have
their neighbours in training. Of film reviews and tweets the source gives no such number, so each snippet is a group
of its own; two snippets may still be about one film.

Reference: Hutto and Gilbert 2014, VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
Text.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import Category, Column, DataError, Integer, Real, Text

FILE = "snippets.parquet"
DOMAINS = ("amazon review", "film review", "news editorial", "tweet")

COLUMNS: dict[str, Column] = {
    "domain": Category(DOMAINS),
    "source": Integer(1, 10_605),               # number of the review, article or tweet in its domain
    "place": Integer(1, 99),                    # of the sentence in it
    "sentiment": Real(-4, 4),                   # mean over the raters
    "text": Text(1_000),
}


def snippets() -> pd.DataFrame:
    """Return the snippets, 1,500 of each domain, in the order of the source.

    Returns:
        Columns ``domain``, ``source``, ``place``, ``sentiment`` and ``text``. The index is the row in the file, as
        in :func:`mtl_tutorial.data.sentence_vectors.sentence_vectors`.

    Raises:
        DataError: the file is missing, damaged, or differs from its declaration or from its hash, or a sentence
            stands there twice.
    """
    frame = files.read(FILE, COLUMNS)
    twice = frame.duplicated(["domain", "source", "place"])
    if twice.any():
        row = int(twice.argmax())
        domain, source, place = frame.loc[row, ["domain", "source", "place"]]
        raise DataError(f"{FILE}: column 'place', row {row}: sentence {place} of {domain} {source} stands there a "
                        f"second time; {files.REMEDY}")
    return frame


def group_of(frame: pd.DataFrame) -> np.ndarray:
    """Return for each snippet [N] the number of its review, article or tweet, unlike in all domains."""
    return frame.groupby(["domain", "source"], observed=True).ngroup().to_numpy()

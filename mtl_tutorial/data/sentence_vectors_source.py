"""Compute the sentence vectors of all sets of texts anew; ``make data`` calls it, nothing else does.

Needs no network: texts and encoder are here. About four minutes with one thread.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from torch import Tensor

from mtl_tutorial.data import files
from mtl_tutorial.data.sentence_vectors import COLUMNS, FLOAT16, READERS, digests, file_of
from mtl_tutorial.text.sentence_encoder import SentenceEncoder


def rebuild(target: Path) -> None:
    """Encode every text and write one Parquet file per set of texts into ``target``.

    Raises:
        DataError: a file of texts is missing or damaged.
        WeightsError: the encoder is missing, or is not the pinned one.
    """
    encoder = SentenceEncoder()
    for name, read in READERS.items():
        texts = read()["text"]
        files.write(target, file_of(name), packed(texts, encoder.encode(texts)), COLUMNS, codec="brotli")


def packed(texts: pd.Series, vectors: Tensor) -> pd.DataFrame:
    """Return the columns of the file: digests of N texts, and their vectors [N, 384] as float16."""
    rows = vectors.numpy().astype(FLOAT16)
    return pd.DataFrame({"text_sha256": digests(texts), "vector": [row.tobytes() for row in rows]})

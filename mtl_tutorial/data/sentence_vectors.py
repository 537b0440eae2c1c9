"""Sentence vectors of the texts in ``data/``, made beforehand so that a lesson need not wait for them.

One vector of 384 numbers per text, by :class:`mtl_tutorial.text.sentence_encoder.SentenceEncoder`, kept as float16:
half the bytes. In the one model where it was measured, a logistic regression on tweets, the AUC moves by less than
0.0005 for it. Beside each vector stands the beginning of its text's SHA-256, so that a vector cannot be taken for
that of another text.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import Bytes, Column, DataError
from mtl_tutorial.data.customer_messages import customer_intents, customer_messages
from mtl_tutorial.data.fashion_mnist_attributes import product_classes
from mtl_tutorial.data.food_reviews import read_food_reviews
from mtl_tutorial.data.snippets import snippets

WIDTH = 384
FLOAT16 = np.dtype("<f2")
DIGEST = 8                                      # bytes of a text's SHA-256
READERS = {                                     # set of texts -> its reader, of a frame with a column "text"
    "food_reviews": read_food_reviews,
    "snippets": snippets,
    "customer_messages": customer_messages,
    "customer_intents": customer_intents,
    "product_classes": product_classes,
}

COLUMNS: dict[str, Column] = {
    "text_sha256": Bytes(DIGEST),
    "vector": Bytes(WIDTH * FLOAT16.itemsize),
}


def sentence_vectors(name: str) -> Tensor:
    """Return the vectors [N, 384] float32 of a set of texts, a row for each text that its reader gives.

    Args:
        name: of the set, a key of ``READERS``. A reader that leaves rows out keeps their numbers as its index:
            ``sentence_vectors("food_reviews")[food_reviews().index]``.

    Returns:
        Vectors of length one, but for the rounding to float16.

    Raises:
        DataError: a file is missing or damaged, or the vectors are not those of these texts.
        ValueError: there is no such set of texts.
    """
    if name not in READERS:
        raise ValueError(f"there are no vectors of {name!r}; there are: {', '.join(READERS)}")
    texts = READERS[name]()["text"]
    source = file_of(name)
    frame = files.read(source, COLUMNS)
    if len(frame) != len(texts):
        raise DataError(f"{source}: {len(frame)} vectors, but {len(texts)} texts; {files.REMEDY}")
    fits = frame["text_sha256"] == digests(texts)
    if not fits.all():
        raise DataError(f"{source}: row {int(fits.argmin())} is the vector of another text; {files.REMEDY}")
    vectors = np.frombuffer(b"".join(frame["vector"]), FLOAT16).reshape(-1, WIDTH)      # [N, 384]
    return torch.from_numpy(vectors.astype(np.float32))


def file_of(name: str) -> str:
    """Return the name of the file with the vectors of a set of texts."""
    return f"{name}_vectors.parquet"


def digests(texts: pd.Series) -> pd.Series:
    """Return the first bytes of each text's SHA-256."""
    return texts.map(lambda text: hashlib.sha256(text.encode()).digest()[:DIGEST])

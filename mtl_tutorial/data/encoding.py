"""From a data frame to tensors: ids by a vocabulary, numbers by a mean and a deviation, all from training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

UNSEEN = 0              # the id of every value that no training row holds


class Encoder:
    """Turn columns into ids and standardised numbers.

    Each categorical column has a vocabulary of its own: the values of the training rows, sorted, get the ids
    1, 2, …; id 0 stands for any value not among them. Numeric columns lose their training mean and are divided
    by their training standard deviation.

    Args:
        categorical: names of the F columns that become ids.
        numeric: names of the D columns that become numbers.

    Attributes:
        vocabularies_: after ``fit``, per categorical column its values in the order of their ids.
        means_: after ``fit``, [D].
        deviations_: after ``fit``, [D]; 1 for a column that never varies.
    """

    def __init__(self, categorical: Sequence[str], numeric: Sequence[str]) -> None:
        self.categorical = list(categorical)
        self.numeric = list(numeric)

    def fit(self, train: pd.DataFrame) -> Encoder:
        """Learn vocabularies, means and deviations from the training rows."""
        self.vocabularies_ = [train[name].drop_duplicates().sort_values().tolist() for name in self.categorical]
        numbers = train[self.numeric].to_numpy(np.float64)                              # [N, D]
        deviations = numbers.std(axis=0)
        self.means_ = numbers.mean(axis=0)
        self.deviations_ = np.where(deviations > 0, deviations, 1.0)
        return self

    @property
    def cardinalities_(self) -> tuple[int, ...]:
        """Number of ids of each categorical column, id 0 included."""
        return tuple(len(vocabulary) + 1 for vocabulary in self.vocabularies_)

    def transform(self, frame: pd.DataFrame) -> tuple[Tensor, Tensor]:
        """Return the ids [N, F] int64 and the standardised numbers [N, D] float32."""
        ids = np.zeros((len(frame), len(self.categorical)), dtype=np.int64)
        for field, (name, vocabulary) in enumerate(zip(self.categorical, self.vocabularies_, strict=True)):
            ids[:, field] = pd.Index(vocabulary).get_indexer(frame[name]) + 1       # -1 + 1 where not found
        numbers = (frame[self.numeric].to_numpy(np.float64) - self.means_) / self.deviations_
        return torch.from_numpy(ids), torch.from_numpy(numbers.astype(np.float32))

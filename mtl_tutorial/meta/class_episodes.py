"""N-way K-shot tasks drawn from rows with class labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_tutorial.meta.episodes import Episodes


class ClassEpisodes:
    """Rows with class labels, out of which tasks are drawn: some classes, some rows of each.

    Args:
        features: of each row, [M, …].
        labels: class of each row, [M] integers 0 … C − 1.

    Attributes:
        counts: rows of each class, [C].

    Raises:
        ValueError: features and labels that do not fit together.
    """

    def __init__(self, features: Tensor, labels: Tensor):
        if labels.dim() != 1 or len(labels) != len(features) or labels.is_floating_point():
            raise ValueError(f"labels must be integers, one per row of features {list(features.shape)}, "
                             f"not {labels.dtype} {list(labels.shape)}")
        if len(labels) == 0 or labels.min() < 0:
            raise ValueError("there must be at least one row, and no class below 0")
        self.features = features
        self.counts = torch.bincount(labels)                                            # [C]
        self._order = labels.argsort(stable=True)                                       # [M], class by class
        self._starts = self.counts.cumsum(0) - self.counts                              # [C]

    def draw(self, tasks: int, ways: int, shots: int, queries: int, generator: torch.Generator,
             among: Tensor | Sequence[int] | None = None) -> Episodes:
        """Draw T tasks at once: N classes each, and of each class K support and Q query rows, none of them twice.

        Args:
            tasks: T.
            ways: N classes of a task, numbered 0 … N − 1 in random order.
            shots: K support rows of each class.
            queries: Q query rows of each class.
            generator: of the draws, on the CPU.
            among: the classes that may occur, [A]; or for each task its own, [T, A]; all if left out.

        Returns:
            Episodes with N·K support and N·Q query rows, class by class.

        Raises:
            ValueError: fewer than N classes, an unknown or repeated class, or a class with fewer than K + Q rows.
        """
        among = self._checked(among, tasks, ways, shots, queries)                       # [T, A]
        place = torch.rand(among.shape, generator=generator).argsort(1)[:, :ways]
        chosen = among.gather(1, place)                                                 # [T, N]
        rows = draw_without_replacement(self.counts.cpu()[chosen], shots + queries, generator)
        place = self._starts.cpu()[chosen].unsqueeze(-1) + rows                         # [T, N, K + Q]
        rows = self._order[place.to(self._order.device)]
        y = torch.arange(ways, device=rows.device).unsqueeze(-1).expand_as(rows)
        support, query = rows[..., :shots].flatten(1), rows[..., shots:].flatten(1)     # [T, N·K], [T, N·Q]
        return Episodes(self.features[support], y[..., :shots].flatten(1),
                        self.features[query], y[..., shots:].flatten(1))

    def _checked(self, among: Tensor | Sequence[int] | None, tasks: int, ways: int, shots: int,
                 queries: int) -> Tensor:
        classes = len(self.counts)
        among = torch.arange(classes) if among is None else torch.as_tensor(among).cpu()
        if among.is_floating_point() or among.dim() not in (1, 2) or (among.dim() == 2 and len(among) != tasks):
            raise ValueError(f"among must be class numbers, [A] or [{tasks}, A], not {among.dtype} "
                             f"{list(among.shape)}")
        if ways < 1 or shots < 1 or queries < 1:
            raise ValueError(f"ways={ways}, shots={shots}, queries={queries}: each must be at least 1")
        if among.shape[-1] < ways:
            raise ValueError(f"{ways}-way tasks need {ways} classes, there are {among.shape[-1]} to draw from")
        if ((among < 0) | (among >= classes)).any():
            raise ValueError(f"among names classes {int(among.min())} … {int(among.max())}; "
                             f"there are 0 … {classes - 1}")
        if (among.sort(-1).values.diff(dim=-1) == 0).any():
            raise ValueError("among names a class twice: a task would hold it under two numbers")
        short = among[self.counts.cpu()[among] < shots + queries]
        if len(short):
            raise ValueError(f"class {int(short[0])} has {int(self.counts[short[0]])} rows; {shots} support and "
                             f"{queries} query rows need {shots + queries}")
        return among.expand(tasks, -1)


def draw_without_replacement(counts: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """Draw row numbers 0 … count − 1 without replacement, in random order, many draws at once.

    Robert Floyd's method: as many steps as rows are drawn, however many there are to draw from.

    Args:
        counts: how many rows each draw may choose from, […].
        rows: how many to draw, at most the least count.
        generator: of the draws.

    Returns:
        […, rows].

    Reference: Bentley and Floyd 1987, Programming Pearls: A Sample of Brilliance.
    """
    chosen = torch.full((*counts.shape, rows), -1)
    uniform = torch.rand(chosen.shape, generator=generator, dtype=torch.float64)
    for k in range(rows):
        last = counts - rows + k
        candidate = (uniform[..., k] * (last + 1)).long()                               # 0 … last
        taken = (chosen == candidate.unsqueeze(-1)).any(-1)
        chosen[..., k] = torch.where(taken, last, candidate)
    shuffled = torch.rand(chosen.shape, generator=generator).argsort(-1)
    return chosen.gather(-1, shuffled)


def split_classes(classes: int, sizes: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Part the classes 0 … C − 1 at random into disjoint sets, for instance of training, validation and test.

    Args:
        classes: C.
        sizes: of the sets.
        generator: of the draw.

    Raises:
        ValueError: sizes that add up to more than C.
    """
    if sum(sizes) > classes:
        raise ValueError(f"sets of {list(sizes)} classes need {sum(sizes)}, there are {classes}")
    return list(torch.randperm(classes, generator=generator)[:sum(sizes)].split(list(sizes)))

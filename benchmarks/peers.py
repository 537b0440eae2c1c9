"""The same architectures in the libraries that people would train them with, each by its own fit path.

Ids, widths, the cross-entropy of each task and the start of the embeddings are equal; Adam at its default rate,
without weight decay. What else a library does in its own way stays; ``throughput`` names it beside its figures.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks.click_log import as_columns, tasks_of
from mtl_tutorial.data.table import Table
from mtl_tutorial.inference import predict
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.models.ple import PLE
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.training import fit

ARCHITECTURES = ("Shared-Bottom", "MMoE", "PLE")
DIM, EXPERTS, WIDTHS, TOWER, BATCH = 16, 8, (256, 128), (64,), 2048
OWN, SHARED, LEVELS = 2, 2, 2           # experts per task and shared, and levels of PLE
STD = 1e-4                              # of the embeddings at the start, as both peers have it


class Candidate(NamedTuple):
    """A model that a library trains."""

    epoch: Callable[[], object]                         # one pass over the table
    probabilities: Callable[[Table], np.ndarray]        # of other rows, [N, K]


def ours(architecture: str, log: Table, precision: str, std: float | None = STD) -> Candidate:
    """Return ours, trained by ``fit``; its embeddings start at a standard deviation of ``std``, or as they are."""
    tasks = tasks_of(log)
    sizes = {"Shared-Bottom": (), "MMoE": (EXPERTS,), "PLE": (OWN, SHARED)}[architecture]
    kind = {"Shared-Bottom": SharedBottom, "MMoE": MMoE, "PLE": PLE}[architecture]
    model = kind(log.schema, tasks, DIM, *sizes, WIDTHS, TOWER)
    if std is not None:
        nn.init.normal_(model.encoder.embedding.table.weight, std=std)

    def probabilities(rows: Table) -> np.ndarray:
        found = predict(model, rows, tasks)
        return np.stack([found[task.name].float().numpy() for task in tasks], 1)

    return Candidate(lambda: fit(model, log, tasks, epochs=1, batch_size=BATCH, precision=precision), probabilities)


def deepctr(architecture: str, log: Table) -> Candidate:
    """Return DeepCTR-Torch's. Its PLE has as many shared experts as own ones of a task."""
    from deepctr_torch.inputs import SparseFeat
    from deepctr_torch.models.multitask.mmoe import MMOE
    from deepctr_torch.models.multitask.ple import PLE as DeepPLE
    from deepctr_torch.models.multitask.sharedbottom import SharedBottom as DeepSharedBottom
    fields = [SparseFeat(name, size, embedding_dim=DIM)
              for name, size in zip(log.field_names, log.cardinalities, strict=True)]
    common = {"tower_dnn_hidden_units": TOWER, "l2_reg_embedding": 0, "task_names": list(log.targets),
              "seed": torch.initial_seed()}         # it seeds torch anew, with 1024 if left out
    experts = {"expert_dnn_hidden_units": WIDTHS, "gate_dnn_hidden_units": ()}
    if architecture == "Shared-Bottom":
        model = DeepSharedBottom(fields, bottom_dnn_hidden_units=WIDTHS, **common)
    elif architecture == "MMoE":
        model = MMOE(fields, num_experts=EXPERTS, **experts, **common)
    else:
        model = DeepPLE(fields, shared_expert_num=SHARED, specific_expert_num=OWN, num_levels=LEVELS, **experts,
                        **common)
    model.compile("adam", loss=["binary_crossentropy"] * len(log.targets), metrics=[])
    features, labels = as_columns(log)
    return Candidate(_silent(lambda: model.fit(features, labels, batch_size=BATCH, epochs=1, verbose=0)),
                     lambda rows: model.predict(as_columns(rows)[0], batch_size=BATCH))


def rechub(architecture: str, log: Table) -> Candidate:
    """Return torch-rechub's."""
    from torch_rechub.basic.features import SparseFeature
    from torch_rechub.models.multi_task import MMOE
    from torch_rechub.models.multi_task import PLE as HubPLE
    from torch_rechub.models.multi_task import SharedBottom as HubSharedBottom
    from torch_rechub.trainers import MTLTrainer
    from torch_rechub.utils.data import DataGenerator
    fields = [SparseFeature(name, size, embed_dim=DIM)
              for name, size in zip(log.field_names, log.cardinalities, strict=True)]
    kinds, body = ["classification"] * len(log.targets), {"dims": list(WIDTHS)}
    towers = [{"dims": list(TOWER)} for _ in kinds]
    if architecture == "Shared-Bottom":
        model = HubSharedBottom(fields, kinds, body, towers)
    elif architecture == "MMoE":
        model = MMOE(fields, kinds, EXPERTS, body, towers)
    else:
        model = HubPLE(fields, kinds, LEVELS, OWN, SHARED, body, towers)
    features, labels = as_columns(log)
    batches, _, _ = DataGenerator(features, labels).generate_dataloader(
        x_val=features, y_val=labels, x_test=features, y_test=labels, batch_size=BATCH)
    trainer = MTLTrainer(model, kinds, optimizer_params={"lr": 1e-3, "weight_decay": 0.0}, n_epoch=1)

    def probabilities(rows: Table) -> np.ndarray:
        model.eval()
        with torch.no_grad():
            return model({name: rows.ids(name) for name in rows.field_names}).numpy()

    return Candidate(_silent(lambda: trainer.train_one_epoch(batches)), probabilities)


Maker = Callable[[str, Table], Candidate]       # from an architecture's name and the rows to train on
PEERS: dict[str, Maker] = {"DeepCTR-Torch": deepctr, "torch-rechub": rechub}
OWN_START: dict[str, Maker] = {"ours, fp32, its own start": functools.partial(ours, precision="fp32", std=None)}


def in_precisions(precisions: Sequence[str]) -> dict[str, Maker]:
    """Return name -> what makes ours, in each precision."""
    return {f"ours, {precision}": functools.partial(ours, precision=precision) for precision in precisions}


def make_all(makers: Mapping[str, Maker], architecture: str, log: Table, seed: int = 0) -> dict[str, Candidate]:
    """Return name -> a new candidate, each from the same seed."""
    made = {}
    for name, make in makers.items():
        torch.manual_seed(seed)
        made[name] = make(architecture, log)
    return made


def _silent(call: Callable[[], object]) -> Callable[[], None]:
    def quiet() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            call()
    return quiet

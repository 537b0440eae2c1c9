"""Train a stack with dropout, early stopping and a checkpoint: a process for test_resuming to kill and continue.

Usage: interruptible_training.py FOLDER CHECKPOINT PAUSE
"""

import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from mtl_tutorial.data.table import Table
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(16, 2)

    def forward(self, inputs):
        click, spend = self.head(self.body(inputs.numeric)).unbind(-1)
        return {"click": click, "spend": spend}


def main(folder: Path, checkpoint: Path, pause: float) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(400, 6)
    table = Table.from_features(x, targets={"click": (x[:, 0] > 0).float(), "spend": x[:, 1] * x[:, 2]})
    train, validation = table.split(0.8, 0.2)
    model = Stacked([Small(), Small()])
    with (folder / "steps").open("a", buffering=1) as steps:

        def count(*_) -> None:
            steps.write(".")
            steps.flush()
            time.sleep(pause)

        model.register_forward_pre_hook(count)
        tasks = [Task("click"), Task("spend", "regression")]
        history = fit(model, train.repeat(2), tasks, epochs=10, batch_size=40, lr=0.01,
                      validation=validation.repeat(2), evaluate_every=7, patience=50,
                      checkpoint=checkpoint, checkpoint_every=5)
    save_file({**model.state_dict(), "losses": history.losses, "best": history.best_step,
               "scores": torch.stack([score for _, score in history.scores])}, folder / "result")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))

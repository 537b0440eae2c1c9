"""A notebook's shell without a notebook, a fresh progress file, and sample exercises."""

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from mtl_tutorial.classroom import exercise as catalogue
from mtl_tutorial.classroom.exercise import Exercise, Mistake


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """Keep progress in a folder of this test's own."""
    monkeypatch.setenv("MTL_TUTORIAL_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


class Shell:
    """Runs cells as a notebook does and returns what they display."""

    def __init__(self, shell: InteractiveShell):
        self._shell = shell

    def run(self, code: str) -> list:
        """Run a cell; return its outputs, each with ``data`` and ``metadata``."""
        with capture_output() as captured:
            result = self._shell.run_cell(code)
        result.raise_error()
        return captured.outputs

    def texts(self, code: str) -> list[str]:
        """Run a cell; return the plain text of its outputs."""
        return [output.data["text/plain"] for output in self.run(code)]

    def __getitem__(self, name: str):
        return self._shell.user_ns[name]

    def __setitem__(self, name: str, value):
        self._shell.user_ns[name] = value


@pytest.fixture(scope="session")
def interactive_shell(tmp_path_factory):
    config = Config()
    config.HistoryManager.enabled = False
    yield InteractiveShell.instance(config=config, ipython_dir=str(tmp_path_factory.mktemp("ipython")))
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(interactive_shell):
    names = interactive_shell.user_ns
    before = set(names)
    yield Shell(interactive_shell)
    for name in set(names) - before:        # the shell's own reset collects garbage, which takes 0.2 s
        del names[name]


def mix_experts(expert_outputs, gate_logits):
    """Mix expert outputs [B, E, H] by gate logits [B, E] into [B, H]."""
    return torch.einsum("beh,be->bh", expert_outputs, gate_logits.softmax(-1))


def over_batch(expert_outputs, gate_logits):
    return torch.einsum("beh,be->bh", expert_outputs, gate_logits.softmax(0))


def no_softmax(expert_outputs, gate_logits):
    return torch.einsum("beh,be->bh", expert_outputs, gate_logits)


def frozen_gate(expert_outputs, gate_logits):
    return mix_experts(expert_outputs, gate_logits.detach())


def mix_cases():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
    return [(draw(4, 3, 2), draw(4, 3)), (draw(1, 5, 2), draw(1, 5))]


MIX_EXPERTS = Exercise(
    "01.mix_experts", mix_experts, mix_cases, hints=("which axis holds the experts?", "softmax(-1), then einsum"),
    mistakes=(Mistake(over_batch, "the softmax runs over the batch, not over the experts"),
              Mistake(no_softmax, "the gate's logits were used as weights"),
              Mistake(frozen_gate, "the gate is detached: it never learns")))


def heads(x, tower):
    """Return a dict with the tower's output and a plain number."""
    return {"click": tower(x), "pairs": (x.sum(-1), 2.5)}


def head_cases():
    torch.manual_seed(3)                    # a careless author: check must restore random state all the same
    return [(torch.randn(6, 3), torch.nn.Linear(3, 1))]


HEADS = Exercise("01.heads", heads, head_cases, hints=("call the tower",), mistakes=())


@pytest.fixture
def mix(monkeypatch):
    """Make the sample exercises those of lesson 01."""
    known = {exercise.id: exercise for exercise in (MIX_EXPERTS, HEADS)}
    monkeypatch.setattr(catalogue, "exercises_of", lambda number: known if number == "01" else {})
    return MIX_EXPERTS

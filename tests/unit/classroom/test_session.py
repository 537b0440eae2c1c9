import random

import numpy as np
import pytest
import torch

from mtl_tutorial.classroom import setup
from mtl_tutorial.classroom.randomness import random_state_kept, seed_everything
from mtl_tutorial.classroom.session import chosen_threads
from mtl_tutorial.device import find_device


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_setup_makes_every_generator_repeatable():
    first, second, other = [(setup(seed=seed), draws())[1] for seed in (7, 7, 8)]
    assert first == second
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_setup_shows_one_line_that_does_not_change(shell, monkeypatch):
    monkeypatch.setenv("MTL_TUTORIAL_DEVICE", "cpu")
    code = "from mtl_tutorial.classroom import setup\ndevice = setup(seed=3)"
    assert shell.texts(code) == shell.texts(code) == ["Ready: seed 3, device cpu, 1 thread."]
    assert shell["device"] == torch.device("cpu")


@pytest.mark.parametrize("asked", ["quantum", "cuda:99", "meta"])
def test_device_that_is_not_there_is_named(monkeypatch, asked):
    monkeypatch.setenv("MTL_TUTORIAL_DEVICE", asked)
    with pytest.raises(ValueError, match=f"MTL_TUTORIAL_DEVICE is '{asked}'; this machine has .*cpu"):
        find_device()


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5"])
def test_number_of_threads_that_makes_no_sense_is_named(monkeypatch, asked):
    monkeypatch.setenv("MTL_TUTORIAL_THREADS", asked)
    with pytest.raises(ValueError, match="MTL_TUTORIAL_THREADS is"):
        chosen_threads()


def test_threads_are_one_unless_asked_for(monkeypatch):
    monkeypatch.delenv("MTL_TUTORIAL_THREADS", raising=False)
    assert chosen_threads() == 1
    monkeypatch.setenv("MTL_TUTORIAL_THREADS", "2")
    assert chosen_threads() == 2


def test_random_state_is_kept_through_seeding_and_errors():
    def careless():
        with random_state_kept():
            seed_everything(0)
            draws()
            raise ZeroDivisionError
    seed_everything(5)
    expected = draws()
    seed_everything(5)
    with pytest.raises(ZeroDivisionError):
        careless()
    assert draws() == expected


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="this machine has no accelerator")
def test_random_state_of_the_accelerator_is_kept():
    device = torch.accelerator.current_accelerator()
    torch.manual_seed(5)
    expected = torch.rand(3, device=device)
    torch.manual_seed(5)
    with random_state_kept():
        torch.rand(100, device=device)
    assert torch.equal(torch.rand(3, device=device), expected)

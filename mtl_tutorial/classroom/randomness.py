"""Random state: set it everywhere, or leave it exactly as it was."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's (CPU and accelerator) global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore every global generator on the way out, whatever happened inside."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    read, write = _accelerator_state()
    accelerator = read()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        write(accelerator)


def _accelerator_state():
    """Return the functions that read and write the generators of all accelerators, if there are any."""
    if not torch.accelerator.is_available():
        return lambda: None, lambda state: None
    module = torch.get_device_module(torch.accelerator.current_accelerator())
    if hasattr(module, "get_rng_state_all"):                # several devices: cuda, xpu
        return module.get_rng_state_all, module.set_rng_state_all
    return module.get_rng_state, module.set_rng_state       # one device: mps

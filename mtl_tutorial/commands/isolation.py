"""The environment in which a command runs notebooks: quiet, one thread, nobody's progress."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def isolated() -> Iterator[None]:
    """Change the environment variables, which kernels inherit, so that no learner's state is read or written."""
    before = dict(os.environ)
    with TemporaryDirectory(prefix="mtl_tutorial_") as folder:
        state = Path(folder) / "state"
        state.mkdir()
        os.environ.pop("MTL_TUTORIAL_DRIVE", None)
        os.environ.update(
            dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            MTL_TUTORIAL_THREADS="1",
            MTL_TUTORIAL_QUIET="1",
            MTL_TUTORIAL_STATE=str(state),
            IPYTHONDIR=str(Path(folder) / "ipython"),
            PYDEVD_DISABLE_FILE_VALIDATION="1",     # the kernel says nothing about frozen modules
        )
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

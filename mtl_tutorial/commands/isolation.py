"""The environment in which notebooks are run by a command: quiet, one thread, nobody's progress."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def isolated() -> Iterator[dict[str, str]]:
    """Yield this process's environment variables, changed so that no learner's state is read or written."""
    with TemporaryDirectory(prefix="mtl_tutorial_") as folder:
        state = Path(folder) / "state"
        state.mkdir()
        variables = {
            **os.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            "MTL_TUTORIAL_THREADS": "1",
            "MTL_TUTORIAL_QUIET": "1",
            "MTL_TUTORIAL_STATE": str(state),
            "IPYTHONDIR": str(Path(folder) / "ipython"),
        }
        variables.pop("MTL_TUTORIAL_DRIVE", None)
        yield variables

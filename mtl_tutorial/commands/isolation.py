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
    with TemporaryDirectory(prefix="mtl_tutorial_", ignore_cleanup_errors=True) as folder:
        state, profile = Path(folder, "state"), Path(folder, "ipython", "profile_default")
        state.mkdir()
        profile.mkdir(parents=True)
        (profile / "ipython_kernel_config.json").write_text('{"IPKernelApp": {"log_level": 40}}')     # errors only
        os.environ.pop("MTL_TUTORIAL_DRIVE", None)
        os.environ.update(
            dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            MTL_TUTORIAL_THREADS="1",
            MTL_TUTORIAL_QUIET="1",
            MTL_TUTORIAL_STATE=str(state),
            IPYTHONDIR=str(profile.parent),
            PYDEVD_DISABLE_FILE_VALIDATION="1",     # the kernel says nothing about frozen modules
        )
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

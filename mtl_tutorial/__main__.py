"""Entry point of ``python3 -m mtl_tutorial``. Any Python 3 can read this file, so that an old one is told."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # the one line that is written for older Pythons
    sys.exit(
        f"mtl_tutorial needs Python 3.11 or newer, this is {sys.version_info[0]}.{sys.version_info[1]} "
        f"({sys.executable}); name a newer one, e.g. 'make lab PYTHON=python3.12'"
    )

from mtl_tutorial.commands import main  # newer syntax from here on

if __name__ == "__main__":
    sys.exit(main())

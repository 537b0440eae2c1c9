"""``lab``: give the learner their own copies of the lessons and open them in JupyterLab."""

import argparse
import errno
import os
import secrets
import socket
import sys
import threading
import time
from pathlib import Path

from mtl_tutorial.bootstrap import ROOT
from mtl_tutorial.commands.copies import copy_lessons

START = "00_start_here.ipynb"
SETTINGS = Path(__file__).parent / "jupyterlab_settings"


def main(options: argparse.Namespace) -> int:
    """Copy new lessons to ``my_notebooks/`` and serve that folder until Ctrl-C."""
    in_the_way = port_problem(options.port)
    if in_the_way:
        raise SystemExit(f"mtl_tutorial: {in_the_way}")
    mine = ROOT / "my_notebooks"
    for notice in copy_lessons(ROOT / "notebooks", mine):
        print(f"mtl_tutorial: {notice}", flush=True)
    serve(mine, options.port)
    return 0


def port_problem(port: int) -> str | None:
    """Say in one line why a port of 127.0.0.1 cannot be served on; None if it can."""
    with socket.socket() as probe:
        if os.name == "posix":      # a port that was only just left is free again
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            why = "in use" if error.errno == errno.EADDRINUSE else f"not available ({error.strerror})"
            other = 8899 if port != 8899 else 8890
            return f"port {port} is {why}; choose another, e.g. 'make lab PORT={other}'"
    return None


def serve(folder: Path, port: int) -> None:
    """Run JupyterLab on a folder, on 127.0.0.1 only and with a token that no process listing shows."""
    from jupyterlab.labapp import LabApp

    page = f"/lab/tree/{START}" if (folder / START).exists() else "/lab"
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(24)
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"      # kernels say nothing about frozen modules
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    address = f"http://127.0.0.1:{port}{page}?token={token}"
    threading.Thread(target=_announce, args=(port, address), daemon=True).start()
    arguments = [                               # within this process: 'ps' does not show them
        f"--IdentityProvider.token={token}",    # stronger than the environment: no config file takes it away
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.answer_yes=True",          # Ctrl-C ends it without a question
        "--KernelManager.transport_encryption=auto",
        "--Application.log_level=WARN",
        f"--LabApp.default_url={page}",
        "--LabApp.extension_manager=readonly",  # the other one asks the package index
        f"--LabApp.app_settings_dir={SETTINGS}",        # asks no questions about news or updates
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if not has_display():
        arguments.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")
    LabApp.launch_instance(arguments)


def has_display() -> bool:
    """Whether a browser opened here would be seen by the person who typed the command."""
    if os.name == "nt" or sys.platform == "darwin":
        return "SSH_CONNECTION" not in os.environ
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _announce(port: int, address: str) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    print(f"mtl_tutorial: the lessons are open at the address below; Ctrl-C ends them\n{address}", flush=True)

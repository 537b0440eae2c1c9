import os
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from mtl_tutorial.bootstrap import ROOT

HOOK = str(ROOT / "tests" / "offline")


def attempt(code, folder=None):
    environment = {**os.environ, "PYTHONPATH": HOOK}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("code", "address"),
    [
        ("import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)", "192.0.2.1"),
        ("import socket; socket.socket().connect(('192.0.2.1', 80))", "192.0.2.1:80"),
        ("import socket; socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))", "2001:db8::1:80"),
        ("import socket; socket.getaddrinfo('example.org', 443)", "example.org"),
        ("import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 53))", "192.0.2.1:53"),
        ("import urllib.request; urllib.request.urlopen('https://example.org')", "example.org"),
    ],
)
def test_a_remote_address_is_refused_and_named(code, address):
    done = attempt(code)
    assert done.returncode == 1
    assert f"the tests run without a network: refused to reach {address}" in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.9.1"])
def test_this_machine_is_allowed(host):
    done = attempt(
        "import socket; server = socket.create_server(('', 0));"
        f"socket.create_connection(('{host}', server.getsockname()[1]))"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.name == "nt", reason="no Unix sockets on Windows")
def test_a_unix_socket_is_allowed(tmp_path):
    done = attempt(
        "import socket; server = socket.socket(socket.AF_UNIX); server.bind('s'); server.listen();"
        "socket.socket(socket.AF_UNIX).connect('s')",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_a_notebook_cell_that_tries_to_connect_fails(tmp_path, write_notebook, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", HOOK)
    path = write_notebook(tmp_path / "99_net.ipynb", "import urllib.request as r\nr.urlopen('https://example.org')")
    with pytest.raises(CellExecutionError, match=r"refused to reach example\.org"):
        NotebookClient(nbformat.read(path, as_version=4), kernel_name="python3").execute()

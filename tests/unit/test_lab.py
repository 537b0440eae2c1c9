import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import psutil
import pytest

from mtl_tutorial.bootstrap import ROOT
from mtl_tutorial.commands.copies import copy_lessons
from mtl_tutorial.commands.lab import port_problem

SERVE = "import sys; from mtl_tutorial.commands.lab import *; serve(Path(sys.argv[1]), int(sys.argv[2]))"

CARELESS = '{"IdentityProvider": {"token": ""}, "ServerApp": {"ip": "0.0.0.0"}}'


@pytest.fixture
def folders(tmp_path):
    shipped, mine = tmp_path / "notebooks", tmp_path / "my_notebooks"
    shipped.mkdir()
    (shipped / "00_start_here.ipynb").write_text("map")
    (shipped / "01_multi_task_learning.ipynb").write_text("first edition")
    return shipped, mine


@pytest.fixture
def taken_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_lessons_are_copied_once(folders):
    assert copy_lessons(*folders) == [
        "copied to my_notebooks/: 00_start_here.ipynb, 01_multi_task_learning.ipynb"
    ]
    assert copy_lessons(*folders) == []
    assert (folders[1] / "01_multi_task_learning.ipynb").read_text() == "first edition"


def test_a_learners_work_is_never_overwritten_and_a_newer_version_is_named(folders):
    shipped, mine = folders
    copy_lessons(shipped, mine)
    (mine / "01_multi_task_learning.ipynb").write_text("my answers")
    assert copy_lessons(shipped, mine) == []
    (shipped / "01_multi_task_learning.ipynb").write_text("second edition")
    for _ in range(2):
        (notice,) = copy_lessons(shipped, mine)
        assert notice.startswith("lesson 01 has a newer version; to get it, rename yours")
    assert (mine / "01_multi_task_learning.ipynb").read_text() == "my answers"


def test_a_renamed_lesson_is_replaced_by_the_newer_version(folders):
    shipped, mine = folders
    copy_lessons(shipped, mine)
    (shipped / "01_multi_task_learning.ipynb").write_text("second edition")
    (mine / "01_multi_task_learning.ipynb").rename(mine / "mine.ipynb")
    copy_lessons(shipped, mine)
    assert (mine / "01_multi_task_learning.ipynb").read_text() == "second edition"
    assert copy_lessons(shipped, mine) == []


@pytest.mark.parametrize("damage", ["", "{", "[]"])
def test_a_damaged_record_of_versions_loses_nothing(folders, damage):
    shipped, mine = folders
    copy_lessons(shipped, mine)
    (mine / "01_multi_task_learning.ipynb").write_text("my answers")
    (mine / ".shipped.json").write_text(damage)
    assert copy_lessons(shipped, mine) == []
    assert (mine / "01_multi_task_learning.ipynb").read_text() == "my answers"
    assert len(json.loads((mine / ".shipped.json").read_text())) == 2


def test_a_free_port_is_no_problem():
    assert port_problem(free_port()) is None


def test_a_port_in_use_ends_the_command_with_one_line(taken_port):
    command = [sys.executable, "-m", "mtl_tutorial", "lab", "--here", "--port", str(taken_port)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(rf"mtl_tutorial: port {taken_port} is in use; .*'make lab PORT=\d+'\n", done.stderr)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to another process on Windows")
def test_jupyterlab_serves_this_machine_alone_behind_a_token_and_ends_on_ctrl_c(tmp_path):
    folder = tmp_path / "my notebooks"
    folder.mkdir()
    (folder / "00_start_here.ipynb").write_text("{}")
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "JUPYTER_TOKEN")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    (tmp_path / "JUPYTER_CONFIG_DIR").mkdir()
    (tmp_path / "JUPYTER_CONFIG_DIR" / "jupyter_server_config.json").write_text(CARELESS)
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        environment[name] = str(tmp_path / name)
    port = free_port()
    lab = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder), str(port)],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "Ctrl-C" in lab.stdout.readline()
        address = lab.stdout.readline().strip()
        token = address.partition("?token=")[2]
        assert address == f"http://127.0.0.1:{port}/lab/tree/00_start_here.ipynb?token={token}"
        assert len(token) >= 32
        with urllib.request.urlopen(address, timeout=10) as page:
            assert b'"news": {"disabled": true}' in page.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/contents", timeout=10)
        process = psutil.Process(lab.pid)
        listening = [item.laddr.ip for item in process.net_connections() if item.status == "LISTEN"]
        assert set(listening) == {"127.0.0.1"}
        assert not any(token in word for word in process.cmdline())
        lab.send_signal(signal.SIGINT)
        assert lab.wait(timeout=15) == 0
        assert "Traceback" not in lab.stderr.read()
    finally:
        lab.kill()
        lab.communicate()

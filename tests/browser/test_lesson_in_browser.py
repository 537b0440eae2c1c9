"""Lesson 01 in a real JupyterLab in a real browser, as a learner meets it."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mtl_tutorial.lessons import NOTEBOOKS

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt install chromium)")

LESSON, START = "01_multi_task_learning.ipynb", "00_start_here.ipynb"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
SERVER = "import sys; from pathlib import Path; from mtl_tutorial.commands.lab import serve; " \
         "serve(Path(sys.argv[1]), int(sys.argv[2]))"
ANSWER = """def mix_experts(expert_outputs, gate_logits):
    return gate_logits.softmax({axis}) @ expert_outputs

mix_experts = check('01.mix_experts', mix_experts)"""
PROMPTS = "() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(e => e.textContent.trim())"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def lab(tmp_path):
    """Serve copies of the lessons; yields (port, token)."""
    folder = tmp_path / "lessons"
    folder.mkdir()
    for name in (LESSON, START):
        shutil.copy(NOTEBOOKS / name, folder)
    port, token = free_port(), secrets.token_hex(16)
    private = {name: str(tmp_path / name.lower()) for name in (
        "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR",
        "IPYTHONDIR", "MTL_TUTORIAL_STATE")}
    environment = {**os.environ, **private, "JUPYTER_TOKEN": token, "BROWSER": "true"}
    environment.pop("DISPLAY", None)
    log = (tmp_path / "lab.log").open("w")
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(folder), str(port)], env=environment, stdout=log,
                              stderr=log)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=2)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        else:
            pytest.fail("JupyterLab did not start:\n" + Path(log.name).read_text()[-2000:])
        yield port, token
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
        log.close()


@pytest.fixture
def page(tmp_path):
    """A page of a fresh browser that remembers which addresses outside this machine were asked for."""
    with sync_api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=CHROMIUM, headless=True, args=FLAGS,
            viewport={"width": 1300, "height": 1300})
        page = context.pages[0]
        page.outside = []
        page.on("request", lambda request: None if "127.0.0.1" in request.url
                or request.url.startswith(("data:", "blob:")) else page.outside.append(request.url))
        yield page
        context.close()


def open_notebook(page, port: int, token: str, name: str) -> None:
    page.goto(f"http://127.0.0.1:{port}/lab/tree/{name}?reset&token={token}")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=90_000)
    page.wait_for_timeout(2_000)                # sooner, JupyterLab loses cells


def run_all(page, seconds: int) -> None:
    """Run All Cells, and wait until every code cell has a number."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    deadline = time.monotonic() + seconds
    started = False
    while time.monotonic() < deadline:
        prompts = page.evaluate(PROMPTS)
        started = started or "[*]:" in prompts
        if started and all(re.fullmatch(r"\[\d+\]:", prompt) for prompt in prompts):
            return
        page.wait_for_timeout(500)
    pytest.fail(f"not all cells ran within {seconds} s: {prompts}")


def answer(page, cell, code: str, expected: str) -> None:
    """Replace a cell's code, run it, and wait for a word of its answer."""
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(code)
    page.keyboard.press("Control+Enter")
    cell.locator(".jp-OutputArea-output", has_text=expected).wait_for(timeout=60_000)


def test_a_learner_runs_the_lesson_turns_a_dial_solves_an_exercise_and_sees_the_progress(lab, page):
    port, token = lab
    open_notebook(page, port, token, LESSON)
    run_all(page, seconds=300)
    troubles = page.locator('[data-mime-type="application/vnd.jupyter.error"], '
                            '[data-mime-type="application/vnd.jupyter.stderr"]')
    assert troubles.all_inner_texts() == []

    dial = page.locator(".widget-slider .noUi-handle, .jp-OutputArea input[type=range]").first
    cell = page.locator(".jp-CodeCell", has=dial)
    picture = cell.locator(".jp-OutputArea img").first
    before = picture.get_attribute("src")
    dial.scroll_into_view_if_needed()
    dial.focus()
    page.keyboard.press("ArrowRight")
    for _ in range(60):
        if picture.get_attribute("src") != before:
            break
        page.wait_for_timeout(500)
    else:
        pytest.fail("the plot did not change when its dial was turned")

    exercise = page.locator(".jp-CodeCell", has_text='check("01.mix_experts", mix_experts)').first
    place = exercise.evaluate("cell => [...document.querySelectorAll('.jp-CodeCell')].indexOf(cell)")
    exercise = page.locator(".jp-CodeCell").nth(place)          # the same cell when its text changes
    answer(page, exercise, ANSWER.format(axis=0), "over the batch")
    answer(page, exercise, ANSWER.format(axis=-1), "Right on every case")
    assert page.outside == []

    open_notebook(page, port, token, START)
    run_all(page, seconds=120)
    page.locator(".jp-OutputArea-output", has_text="1 of 6").first.wait_for(timeout=30_000)

import papermill
import pytest

from mtl_tutorial.bootstrap import ROOT
from mtl_tutorial.classroom.ledger import claims_of
from mtl_tutorial.commands.parameters import unknown

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS_PER_CELL = 300


@pytest.fixture(autouse=True)
def kernels_without_network_or_progress(tmp_path, monkeypatch):
    variables = {
        "PYTHONPATH": str(ROOT / "tests" / "offline"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MTL_TUTORIAL_DRIVE": "1",
        "MTL_TUTORIAL_QUIET": "1",
        "MTL_TUTORIAL_STATE": str(tmp_path),
        "MTL_TUTORIAL_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def run(path, folder, cwd):
    return papermill.execute_notebook(
        path, folder / path.name, {"SEED": 1}, kernel_name="python3", cwd=cwd,
        progress_bar=False, execution_timeout=SECONDS_PER_CELL,
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_claim_holds_on_another_seed_and_from_another_working_directory(path, tmp_path):
    assert unknown(path, {"SEED": 1}) == []
    claims = claims_of(run(path, tmp_path, cwd=tmp_path))       # nbval runs it in its own folder
    assert [claim for claim in claims if not claim["held"]] == []

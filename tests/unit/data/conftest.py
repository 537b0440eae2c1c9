import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder in place of the repository's."""
    monkeypatch.setenv("MTL_TUTORIAL_DATA", str(tmp_path))
    return tmp_path

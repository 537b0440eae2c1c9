import hashlib
import os
import zipfile

import pytest

from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.package_download import download_package

NAME = "tinydata-1.0-py3-none-any.whl"
INFO = "tinydata-1.0.dist-info"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel on a local shelf, which is all that pip may see; it asks for a Python that there is not."""
    (tmp_path / "shelf").mkdir()
    path = tmp_path / "shelf" / NAME
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tinydata/rows.csv", "1,2\n")
        archive.writestr(f"{INFO}/METADATA", "Metadata-Version: 2.1\nName: tinydata\nVersion: 1.0\n"
                                             "Requires-Python: <3\nRequires-Dist: nowhere-to-be-found\n")
        archive.writestr(f"{INFO}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{INFO}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def test_wheel_with_the_pinned_hash_is_fetched_whatever_python_it_wants(wheel, scratch):
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    path = download_package("tinydata==1.0", digest, "wheel", scratch)
    assert path == scratch / NAME
    assert path.read_bytes() == wheel.read_bytes()


def test_wheel_with_another_hash_is_refused(wheel, scratch):
    with pytest.raises(DataError, match=r"pip could not download tinydata==1\.0: (?s:.*)DO NOT MATCH THE HASHES"):
        download_package("tinydata==1.0", "0" * 64, "wheel", scratch)
    assert not list(scratch.glob("*.whl"))


def test_form_that_is_not_published_is_not_replaced_by_another(wheel, scratch):
    with pytest.raises(DataError, match=r"pip could not download tinydata==1\.0: (?s:.*)No matching"):
        download_package("tinydata==1.0", hashlib.sha256(wheel.read_bytes()).hexdigest(), "sdist", scratch)

import hashlib
import os
import shutil
import stat
import subprocess

import pytest

from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.debian_download import unpacked

CONTROL = "Package: tinydata\nVersion: 1.0-1\nArchitecture: all\nMaintainer: nobody\nDescription: rows\n"


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A package with one file, and an ``apt-get`` which delivers it and nothing else."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb, which makes and unpacks Debian packages")
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(CONTROL)
    (root / "rows.csv").write_text("1,2\n")
    path = tmp_path / "tinydata_1.0-1_all.deb"
    subprocess.run(["dpkg-deb", "--build", root, path], check=True, capture_output=True)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "apt-get").write_text("#!/bin/sh\n"
                                      "[ \"$3\" = tinydata=1.0-1 ] || { echo \"E: No $3\" >&2; exit 100; }\n"
                                      f"cp {path} .\n")
    (programs / "apt-get").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return path


def test_package_with_the_pinned_hash_is_unpacked_and_deleted_afterwards(archive):
    with unpacked("tinydata=1.0-1", hashlib.sha256(archive.read_bytes()).hexdigest()) as root:
        assert (root / "rows.csv").read_text() == "1,2\n"
    assert not root.exists()


def test_package_with_another_hash_is_not_opened(archive):
    with pytest.raises(DataError, match=r"tinydata_1\.0-1_all\.deb: SHA-256 is .* is pinned; it is not opened"), \
            unpacked("tinydata=1.0-1", "0" * 64):
        pass


def test_what_apt_says_is_passed_on(archive):
    with pytest.raises(DataError, match=r"apt could not download tinydata=2\.0-1: E: No tinydata=2\.0-1"), \
            unpacked("tinydata=2.0-1", "0" * 64):
        pass


def test_system_without_apt_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="this system has no apt-get; rebuild on Debian or Ubuntu"), \
            unpacked("tinydata=1.0-1", "0" * 64):
        pass

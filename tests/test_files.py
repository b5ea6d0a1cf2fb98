"""Files are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from disks import full_disk

from optuna_layerwise.io.files import whole_file, write_whole


def test_a_file_that_cannot_be_written_leaves_the_older_one_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "new" / "report.html"
    write_whole(path, "old")
    with full_disk(100), pytest.raises(OSError, match="cannot write .*report.html: ") as failed:
        write_whole(path, b"n" * 60, "ew" * 60)
    assert failed.value.errno == errno.EFBIG
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["report.html"]


def test_an_error_of_whoever_writes_leaves_the_older_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "file") as unfinished:
        unfinished.write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"
    write_whole(Path("/dev/null"), "nothing")
    assert Path("/dev/null").is_char_device()


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")
    with pytest.raises(OSError, match=r"cannot write .*x\.md: .*file is no folder"):
        write_whole(tmp_path / "file" / "x.md", "new")

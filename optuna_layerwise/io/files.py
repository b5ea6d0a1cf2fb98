"""Files that are whole or not there: written beside their place, put on disk and renamed."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_UNFINISHED = "unfinished-"


def write_whole(path: Path, *parts: bytes | memoryview | str) -> None:
    """Write a file of these parts whole or not at all; see `whole_file`."""
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        file.writelines(part.encode() if isinstance(part, str) else part for part in parts)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a place to write a file to that then takes the place of ``path``, and is on disk.

    If it cannot be written, what was there before stays. What is no file, such as ``/dev/stdout``,
    is written to directly.

    Raises:
        OSError: if it cannot be written, with the path; what was written is removed.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, f"cannot write {path}: it is a folder")
    if path.exists() and not path.is_file():
        yield path
        return
    place = path.resolve()  # a link stays one
    unfinished = place.with_name(f"{_UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}-{place.name}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        _flush(unfinished)
        os.replace(unfinished, place)
    except BaseException as error:
        with suppress(OSError):
            unfinished.unlink()
        if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
            why = error.strerror or error
            if isinstance(error, FileExistsError | NotADirectoryError):
                why = f"{place.parent} is no folder"
            raise OSError(error.errno, f"cannot write {path}: {why}") from error
        raise
    with suppress(OSError):  # some systems cannot open or sync a folder
        _flush(place.parent)


def check_folder(folder: Path, option: str) -> None:
    """Write a file to a folder and remove it; where there is no folder yet, to where it would be.

    Args:
        folder: That is to be written to, later.
        option: What a user gives to choose another, for the message.

    Raises:
        OSError: if it cannot be written.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(prefix=_UNFINISHED, dir=place) as file:
            file.write(b"something")
            file.flush()
    except OSError as error:
        why = f"{place} is no folder" if place.is_file() else error.strerror
        raise OSError(
            error.errno, f"cannot write to the folder {folder}: {why}; choose another {option}"
        ) from error


def remove_whole(path: Path) -> None:
    """Remove such a file, with what processes left that died while they wrote it."""
    for file in (path, *path.parent.glob(f"{_UNFINISHED}*-{glob.escape(path.name)}")):
        with suppress(OSError):  # gone, or for a later attempt
            file.unlink()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

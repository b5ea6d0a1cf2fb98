"""Where a study lies: a file, or a database of a server that is ours alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from benchmarks.reliability.servers import server

FILES = {"sqlite": "sqlite:///{}/study.db", "journal": "journal:///{}/study.log"}
KINDS = (*FILES, "postgresql", "mysql")


@contextlib.contextmanager
def place(kind: str, folder: Path) -> Iterator[str]:
    """The address of an empty database of one of `KINDS`, in a new folder."""
    if kind in FILES:
        folder.mkdir(parents=True)
        yield FILES[kind].format(folder)
    else:
        with server(kind, folder) as running:
            yield running.database("torture")

"""Fixtures of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import lives
import pytest


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def start() -> Iterator[lives.Start]:
    """`lives.start`, with no process left over."""
    started: list[BaseProcess] = []

    def start_process(target: Callable[..., object], *arguments: object) -> BaseProcess:
        started.append(lives.start(target, *arguments))
        return started[-1]

    yield start_process
    for process in started:
        process.kill()
        process.join()

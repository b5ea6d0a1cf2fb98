"""Commands in forked children: the imports, which cost seconds, are made once."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PRELOADED = (
    *("torch", "torchvision", "sklearn.datasets", "plotly.graph_objects"),
    *("optuna_dashboard", "alembic.command", "psycopg", "pymysql"),
    *(
        f"optuna_layerwise.{name}"
        for name in (
            *("cli.tune", "cli.searching", "cli.worker", "cli.finalize", "cli.doctor"),
            *("reporting.report", "reporting.export"),
        )
    ),
)
QUICK_END = (
    *("--head-start", "random", "--final-folds", "1", "--no-compete", "--no-refit"),
    *("--deliver", "one"),
)
"""How a search begins and ends quickly where neither is what is looked at."""
HUNG = 124
"""Exit code of a command that was ended because it took too long."""


@dataclasses.dataclass
class Running:
    """A command in a child process.

    Attributes:
        pid: Its process, which leads a process group of its own.
        log: The file with all that it prints.
        started: When, in seconds of the monotonic clock.
        code: Its exit code, once it is over.
    """

    pid: int
    log: Path
    started: float = dataclasses.field(default_factory=time.monotonic)
    code: int | None = None

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_bytes().decode(errors="replace")

    def is_over(self) -> bool:
        """Whether it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, seconds: float) -> int:
        """Its exit code; a command that takes longer is killed, and that is `HUNG`."""
        while not self.is_over():
            if time.monotonic() - self.started > seconds:
                self.end()
                self.code = HUNG
            time.sleep(0.01)
        assert self.code is not None
        return self.code

    def end(self) -> None:
        """Kill it and what it started."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.code = -signal.SIGKILL


def preload() -> None:
    """Import what commands import; what an older version of the code lacks is left out."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # children collect garbage of their own, and copy no pages for it


def start(
    arguments: Sequence[str],
    log: Path,
    *,
    folder: Path,
    openings: Path,
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Run ``optuna-layerwise`` with arguments.

    Args:
        arguments: Of the command line, the command first.
        log: Is made; gets what the command prints.
        folder: In which the command runs.
        openings: Gets one line for each time that the command opens a test split.
        environment: Variables to change.
    """

    def command() -> None:
        sys.argv = ["optuna-layerwise", *arguments]
        note_openings(openings)
        from optuna_layerwise.cli import main

        main()

    return fork(command, log, folder=folder, environment=environment)


def fork(
    function: Callable[[], Any],
    log: Path,
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Call a function in a child; the exit code is 0 if it returns."""
    sys.stdout.flush()
    sys.stderr.flush()
    log.touch()
    if pid := os.fork():
        return Running(pid, log)
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        for standard in (1, 2):
            os.dup2(descriptor, standard)
        os.environ.update({"COLUMNS": "200", **(environment or {})})
        function()
        code = 0
    except SystemExit as wanted:
        code = wanted.code if isinstance(wanted.code, int) else int(wanted.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def note_openings(file: Path) -> None:
    """From here on, this process writes down when it opens a test split."""
    from optuna_layerwise.data.examples import SealedImages

    before = SealedImages.open

    def opened(self: SealedImages) -> Any:
        with file.open("a") as log:
            log.write(f"{os.getpid()}\n")
        return before(self)

    SealedImages.open = opened  # type: ignore[method-assign]

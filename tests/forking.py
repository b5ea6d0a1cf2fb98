"""Processes forked by a server that has imported, once, what commands import."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import alembic.command
import plotly.graph_objects
import sklearn.datasets

from optuna_layerwise.cli import searching, tune
from optuna_layerwise.objective import finetune
from optuna_layerwise.reporting import dashboard, report

PRELOADED = (
    *(alembic.command, plotly.graph_objects, sklearn.datasets),
    *(finetune, searching, tune, report, dashboard),
)
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([module.__name__ for module in PRELOADED])


class Command:
    """An `optuna-layerwise` in a process of its own; used as a `subprocess.Popen` is.

    Args:
        arguments: What stands behind `optuna-layerwise` on the command line.
        folder: Where the command runs.
        environment: Variables that differ from those of this process.
        merged: Whether errors are written to the output.
    """

    count = 0

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        merged: bool = False,
    ) -> None:
        Command.count += 1
        self._out = folder.with_name(f"{folder.name}-{Command.count}.out")
        self._err = self._out if merged else self._out.with_suffix(".err")
        files = str(self._out), str(self._err)
        variables = {**os.environ, **(environment or {})}
        self._process = CONTEXT.Process(
            target=_run, args=(arguments, str(folder), variables, *files), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        assert self.returncode is not None, f"it has not ended within {timeout} seconds"
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for the end; gives output and errors."""
        self.wait(timeout)
        return self.output, self.errors

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self._out.read_text() if self._out.exists() else ""

    @property
    def errors(self) -> str:
        return self._err.read_text() if self._err.exists() else ""

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self) -> None:
        """Kill it, if it still runs."""
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)
        self._process.join()


def _run(
    arguments: Sequence[str], folder: str, variables: Mapping[str, str], out: str, err: str
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for number, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["optuna-layerwise", *arguments]
    from optuna_layerwise.cli import main

    main()

"""Fixtures of this room."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Cli
from databases import url

from optuna_layerwise.cli import main
from optuna_layerwise.cli.options import console

__all__ = ["cli", "url"]


@pytest.fixture
def calling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Callable[[], object]], Cli]:
    """Runs commands of a program in an empty folder; gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(console, "width", 200)  # it may have looked before

    def program(main: Callable[[], object]) -> Cli:
        def call(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["optuna-layerwise", *arguments])
            code = 0
            try:
                main()
            except SystemExit as exit:
                code = int(exit.code or 0)
            captured = capsys.readouterr()
            return code, captured.out, captured.err

        return call

    return program


@pytest.fixture
def cli(calling: Callable[[Callable[[], object]], Cli]) -> Cli:
    """The command line."""
    return calling(main)

"""What a command imports before it has something to do with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from optuna_layerwise.cli.app import COMMANDS
from optuna_layerwise.storage import open_storage

HEAVY = ("torch", "torchvision", "sklearn", "plotly", "scipy", "transformers", "timm", "pandas")
OF_DATABASES = ("sqlalchemy", "alembic")
RUN = """
import json, sys
from optuna_layerwise.cli import main
code = 0
try:
    main()
except SystemExit as end:
    code = end.code
print(json.dumps([code, sorted(sys.modules)]))
"""
HELP = [("--help",), ("--version",), *((name, "--help") for name in COMMANDS)]
MISTAKES = [
    *(("unknown",), ("--unknown",), *((name, "--unknown") for name in COMMANDS)),
    *(("tune", "--preset", "unknown"), ("tune", "--sampler", "unknown")),
    *(("tune", "--data", "nowhere"), ("tune", "--data", "cifar10")),  # and no --model
    *((name, "--storage", "sqlite:///absent.db") for name in ("compare", "dashboard", "doctor")),
    *(
        (name, "--study", "s", "--storage", "sqlite:///absent.db")
        for name in ("status", "pause", "resume", "worker", "report", "export", "replay")
    ),
    ("launch", "--study", "s", "--storage", "sqlite:///absent.db", "--workers", "1"),
]


def run(folder: Path, *words: str) -> tuple[int, set[str]]:
    """The exit code of a command, and what its process has imported."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=folder, capture_output=True, text=True
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return code or 0, set(modules)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_needs_nothing_heavy(words: tuple[str, ...], tmp_path: Path) -> None:
    code, modules = run(tmp_path, *words)
    assert code == 0
    assert not modules & {*HEAVY, *OF_DATABASES}


@pytest.mark.sweep(3)
@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_is_said_before_anything_heavy_is_imported(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    code, modules = run(tmp_path, *words)
    assert code == 2
    light = () if words[0] == "dashboard" else OF_DATABASES  # asks first who may write
    assert not modules & {*HEAVY, *light}


@pytest.mark.sweep
@pytest.mark.parametrize("place", ["sqlite:///a.db", "journal:///a.log"])
@pytest.mark.parametrize("options", [(), ("--study", "a"), ("--json",)], ids=" ".join)
def test_status_of_a_study_needs_nothing_heavy(
    tmp_path: Path, place: str, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    optuna.create_study(storage=open_storage(place), study_name="a").add_trial(
        optuna.trial.create_trial(
            value=0.5,
            params={"x": 0.5},
            distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
        )
    )
    code, modules = run(tmp_path, "status", "--storage", place, *options)
    assert code == 0
    assert not modules & {*HEAVY, *OF_DATABASES}


def test_the_list_of_commands_imports_none_of_them(tmp_path: Path) -> None:
    _, modules = run(tmp_path, "--help")
    assert "optuna" not in modules
    assert "optuna_layerwise.cli.tune" not in modules

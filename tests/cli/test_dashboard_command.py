from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from commands import DIGITS, Cli, load


def test_other_addresses_need_a_flag_and_the_reason_is_said(cli: Cli) -> None:
    code, _, errors = cli("dashboard", "--host", "0.0.0.0")
    assert code == 2
    assert "no passwords" in errors
    assert "--open-to-all" in errors
    assert len(errors.strip().splitlines()) == 1


@contextlib.contextmanager
def dashboard(*arguments: str, folder: Path) -> Iterator[tuple[list[str], str]]:
    """One of the default database in a process of its own: what it says, and its answer."""
    process = subprocess.Popen(
        [sys.executable, "-m", "optuna_layerwise.cli", "dashboard", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        while not lines or "http://" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        found = re.search(r"http://[\d.]+:(\d+)/", lines[-1])
        assert found is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/api/studies") as answer:
            yield lines, answer.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        process.stdout.close()
    assert process.returncode == 0


@pytest.mark.sweep
@pytest.mark.parametrize("arguments", [(), ("--host", "0.0.0.0", "--open-to-all")])
def test_the_dashboard_serves_the_studies_and_warns_where_others_can_reach_it(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert cli(*DIGITS, "--no-work", "--study", "leaves")[0] == 0
    with dashboard(*arguments, folder=tmp_path) as (lines, studies):
        names = [study["study_name"] for study in json.loads(studies)["study_summaries"]]
        assert names == ["leaves"]
        assert any("warning" in line for line in lines) == bool(arguments)


@pytest.mark.slow
def test_tune_keeps_the_page_and_the_artifacts_unless_told_not_to(cli: Cli) -> None:
    assert cli(*DIGITS, "--trials", "2", "--study", "a")[0] == 0
    assert cli(*DIGITS, "--trials", "2", "--study", "b", "--no-live")[0] == 0
    keys = [
        {key for key in study._storage.get_study_system_attrs(study._study_id) if "dash" in key}
        for study in (load("a"), load("b"))
    ]
    assert "dashboard:plot_data:layer-plan:0" in keys[0]
    assert keys[1] == set()
    notes = load("a")._storage.get_study_system_attrs(load("a")._study_id)
    assert "optuna-layerwise resume --storage" in str(notes["dashboard:note_str:0"])
    names = {m.filename for m in optuna.artifacts.get_all_artifact_meta(load("a"))}
    assert names == {"policy.json", "best.safetensors"}

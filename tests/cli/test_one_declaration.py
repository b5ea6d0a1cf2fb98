"""A setting of ``tune`` is declared in one file; all that knows of it follows from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import optuna_layerwise

FIELD = """
    zoom: float = _data(1.5, "Factor that images are enlarged by.", within=(1, 4))
    data_fingerprint: str = ""
"""
CODE = """
import dataclasses, json, sys
from optuna_layerwise.cli import main
from optuna_layerwise.cli import searching
from optuna_layerwise.experiments.joining import refuse_differences
from optuna_layerwise.experiments.repeating import tune_command_of

def run(*words):
    sys.argv = ["optuna-layerwise", *words]
    try:
        main()
    except SystemExit as end:
        return end.code

assert run("tune", "--help") == 0
given = []
searching.run = lambda settings, *rest, **more: given.append(settings)
assert run("tune", "--zoom", "5") == 2
assert run("tune", "--zoom", "3", "--study", "s") == 0
[settings] = given
print(json.dumps([json.loads(settings.to_json())["zoom"], tune_command_of(settings, "x.db", "s")]))
try:
    refuse_differences("s", settings, dataclasses.replace(settings, zoom=2.0))
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_field_of_the_settings_is_an_option_is_stored_repeated_and_compared(
    tmp_path: Path,
) -> None:
    package = tmp_path / "optuna_layerwise"
    shutil.copytree(Path(optuna_layerwise.__file__).parent, package)
    declared = package / "experiments/settings.py"
    text = declared.read_text()
    assert text.count('\n    data_fingerprint: str = ""\n') == 1
    declared.write_text(text.replace('\n    data_fingerprint: str = ""\n', FIELD))
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "--zoom must be at most 4, got 5.0" in done.stderr
    *page, stored, difference = done.stdout.splitlines()
    [line] = [line for line in page if "--zoom" in line]
    assert "Factor that images are enlarged by." in line
    value, command = json.loads(stored)
    assert value == 3.0
    assert "--zoom 3.0" in command
    assert "--zoom is 2.0 there and 3.0 here" in difference

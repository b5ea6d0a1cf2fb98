"""Whoever can write to a study's database runs no code on the machine of who reads it."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from commands import DIGITS, Cli, load

from optuna_layerwise.storage import FINAL_KEY, SETTINGS_KEY

COMMANDS = {
    "replay": ("--trust-paths",),
    "doctor": ("--replay", "--trust-paths"),
    "resume": ("--trust-paths",),
    "worker": ("--trust-paths",),
}


def rewrite(name: str, **changes: Any) -> None:
    """Write to the database what its owner never chose."""
    study = load(name)
    stored = json.loads(study.user_attrs[SETTINGS_KEY])
    study.set_user_attr(SETTINGS_KEY, json.dumps({**stored, **changes}))


def network_with_code(folder: Path, canary: Path, model_type: str) -> Path:
    """A folder for transformers whose Python leaves a file when it runs."""
    folder.mkdir()
    code = f"open({str(canary)!r}, 'w').close()\n"
    (folder / "evil.py").write_text(
        f"{code}from transformers import ViTConfig, ViTForImageClassification\n"
        f"class Config(ViTConfig):\n    model_type = {model_type!r}\n"
        "class Net(ViTForImageClassification):\n    config_class = Config\n"
    )
    names = {
        "AutoConfig": "evil.Config",
        "AutoModelForImageClassification": "evil.Net",
        "AutoImageProcessor": "evil.Config",
    }
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    shape = {"intermediate_size": 8, "image_size": 8, "patch_size": 4}
    config = {"model_type": model_type, "auto_map": names, **sizes, **shape}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.sweep(3)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("model_type", ["vit", "unheard_of"])
@pytest.mark.parametrize("arguments", [{}, {"trust_remote_code": True}])
def test_no_python_runs_that_stored_settings_name(
    cli: Cli, tmp_path: Path, command: str, model_type: str, arguments: dict[str, Any]
) -> None:
    pytest.importorskip("transformers")
    canary = tmp_path / "canary"
    folder = network_with_code(tmp_path / "transformers", canary, model_type)
    assert cli(*DIGITS, "--no-work", "--study", "a", "--trials", "1")[0] == 0
    rewrite("a", model=f"transformers/{folder}", model_args=arguments, weights="none")
    cli(command, *COMMANDS[command], "--study", "a")
    rewrite("a", weights="DEFAULT")
    code, _, errors = cli(command, *COMMANDS[command], "--study", "a")
    assert not canary.exists()
    if arguments and command != "doctor":
        assert code == 2
        assert "trust_remote_code" in errors
        assert len(errors.strip().splitlines()) == 1


def test_weights_that_lie_where_a_study_saves_its_own_stay(cli: Cli) -> None:
    weights = []
    for database, lr in (("one", "0.01"), ("other", "0.02")):
        storage = f"sqlite:///{database}.db"
        options = ("--study", "a", "--trials", "1", "--lr", lr, "--output", "runs/a")
        assert cli(*DIGITS, *options, "--storage", storage)[0] == 0
        weights.append(load("a", storage).user_attrs[FINAL_KEY]["weights"])
    for one in weights:
        assert hashlib.sha256(Path(one["path"]).read_bytes()).hexdigest() == one["sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("artifact", [math.nan, "[", [], None, 5])
def test_artifacts_that_cannot_be_read_take_no_result_along(cli: Cli, artifact: Any) -> None:
    cli(*DIGITS, "--study", "a", "--trials", "1", "--no-work")
    study = load("a")
    study._storage.set_study_system_attr(study._study_id, "artifacts:a", artifact)
    code, out, errors = cli("resume", "--study", "a")
    assert code == 0, errors
    assert "the result is not among the study's artifacts" in out
    assert FINAL_KEY in load("a").user_attrs


ABSURD: dict[str, Any] = {
    "threads": 10**9,
    "image_size": 10**6,
    "seeds": list(range(10**5)),
    "seed": 10**400,
    "trials": 10**12,
    "n_folds": 10**6,
    "final_seeds": 10**6,
    "keep_weights": -1,
    "checkpoint_seconds": -math.inf,
    "epochs": 10**9,
}


@pytest.mark.sweep(3)
@pytest.mark.parametrize("field", ABSURD)
def test_what_no_study_needs_is_refused_in_a_line(cli: Cli, field: str) -> None:
    cli(*DIGITS, "--study", "a", "--trials", "1", "--no-work")
    changed = {field: ABSURD[field]}
    if field == "epochs":
        changed = {
            "recipe": {**json.loads(load("a").user_attrs[SETTINGS_KEY])["recipe"], **changed}
        }
    rewrite("a", **changed)
    for command in ("resume", "worker"):
        code, _, errors = cli(command, "--study", "a")
        assert code == 2
        assert errors.count("\n") == 1
        assert len(errors) < 500, errors[:500]
        assert field.replace("_", "-") in errors.replace("_", "-")

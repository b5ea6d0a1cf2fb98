"""What trials were made with, and who may join a study."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from optuna_layerwise import FinetuneObjective, ModelSpec
from optuna_layerwise.data import Splits, load_data
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.fingerprint import (
    FINGERPRINT_KEY,
    DifferentFingerprint,
    Fingerprint,
    join,
    record,
    used_fingerprints,
)
from optuna_layerwise.records.run import run_of

RECIPE = Recipe(lr=3e-3, epochs=1, patience=None, batch_size=25)
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_data("digits", image_size=8)


@pytest.fixture(scope="module")
def spec(digits_weights: Path) -> ModelSpec:
    return ModelSpec(name="digits_cnn", weights=digits_weights, image_size=8)


@pytest.fixture
def ours() -> Fingerprint:
    return Fingerprint.here(data="d" * 64, weights="w" * 64, recipe=RECIPE)


def other_version(fingerprint: Fingerprint, package: str) -> Fingerprint:
    packages = {**fingerprint.packages, package: "0.0.1"}
    return dataclasses.replace(fingerprint, packages=packages)


def stored(url: str) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=url, load_if_exists=True)


def test_a_trial_names_what_made_it_and_the_study_holds_that_once(
    spec: ModelSpec, splits: Splits, tmp_path: Path
) -> None:
    objective = FinetuneObjective(model=spec, data=splits, recipe=RECIPE, device="cpu")
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/s.db", direction="maximize")
    study.optimize(objective, n_trials=2)
    [(digest, fingerprint)] = used_fingerprints(study).items()
    assert fingerprint == objective.fingerprint
    assert fingerprint.data == splits.fingerprint
    assert fingerprint.weights == spec.digest
    assert fingerprint.recipe == RECIPE.as_dict()
    assert torch.__version__.startswith(fingerprint.packages["torch"])  # builds may differ
    assert fingerprint.packages["numpy"] == np.__version__
    assert fingerprint.packages["optuna"] == optuna.__version__
    assert set(fingerprint.packages) >= {"optuna-layerwise", "torchvision", "cmaes"}
    for trial in study.trials:
        run = run_of(study, trial)
        assert run is not None
        assert run.fingerprint == digest
        assert run.device == "cpu"
        assert run.device_name
        started, finished = map(datetime.fromisoformat, (run.started, run.finished))
        assert started.utcoffset() == finished.utcoffset() == timedelta(0)
        assert started <= finished
        assert len(json.dumps(trial.user_attrs)) < 2000


@pytest.mark.filterwarnings("ignore:the search starts from random weights")
def test_other_data_weights_or_recipe_have_another_fingerprint(
    spec: ModelSpec, splits: Splits, tmp_path: Path
) -> None:
    made = {"model": spec, "data": splits, "recipe": RECIPE}
    small = dataclasses.replace(splits, train=splits.train.subset(np.arange(20)))
    random = dataclasses.replace(spec, weights=None)
    changes: dict[str, Any] = {
        "weights": {"model": random},
        "recipe.lr": {"recipe": dataclasses.replace(RECIPE, lr=0.01)},
    }
    ours = FinetuneObjective(**made).fingerprint  # type: ignore[arg-type]
    for part, change in changes.items():
        theirs = FinetuneObjective(**{**made, **change}).fingerprint
        assert set(theirs.differences(ours)) == {part}
        assert theirs.digest != ours.digest
    assert FinetuneObjective(**made).fingerprint == ours  # type: ignore[arg-type]
    assert small.fingerprint == splits.fingerprint, "a subset is the caller's own business"


def test_the_first_to_join_sets_what_the_others_must_have(
    ours: Fingerprint, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    join(stored(url), ours)
    join(stored(url), ours)
    assert used_fingerprints(stored(url)) == {ours.digest: ours}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "e" * 64}, "data is dddddddddddd... there and eeeeeeeeeeee... here"),
        ({"weights": "x" * 64}, "weights is wwwwwwwwwwww... there and xxxxxxxxxxxx... here"),
        ({"recipe": {"lr": 1}}, "recipe.lr is 0.003 there and 1 here"),
        ({"packages": {"numpy": "0.1"}}, "numpy is"),
        ({"code": "0123456789ab"}, "code is"),
    ],
)
def test_another_setup_is_refused_by_name_and_may_join_when_told(
    ours: Fingerprint, change: dict[str, Any], said: str
) -> None:
    study = optuna.create_study(study_name="s")
    join(study, ours)
    theirs = dataclasses.replace(ours, **change)
    with pytest.raises(DifferentFingerprint, match="another setup") as refused:
        join(study, theirs)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert set(used_fingerprints(study)) == {ours.digest}
    join(study, theirs, allow_different=True)
    join(study, theirs)  # the study has used it now
    assert set(used_fingerprints(study)) == {ours.digest, theirs.digest}


def test_the_nearest_of_several_setups_is_what_the_message_compares_with(
    ours: Fingerprint,
) -> None:
    study = optuna.create_study(study_name="s")
    join(study, ours)
    join(study, dataclasses.replace(ours, data="x", code="y"), allow_different=True)
    with pytest.raises(DifferentFingerprint, match="setup: torch is [^;]* here. Make"):
        join(study, other_version(ours, "torch"))


def test_another_commit_of_the_same_source_is_the_same(ours: Fingerprint) -> None:
    other = dataclasses.replace(ours, commit="f" * 40)
    assert other.digest == ours.digest
    assert not other.differences(ours)


def test_the_commit_is_that_of_the_working_copy(ours: Fingerprint) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a working copy")
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    assert ours.commit == subprocess.run(command, capture_output=True, text=True).stdout.strip()


def test_an_edited_source_file_is_another_code(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, {path!r})\n"
        "from optuna_layerwise.records.fingerprint import Fingerprint\n"
        "from optuna_layerwise.policy import Recipe\n"
        "print(Fingerprint.here(data='', weights='', recipe=Recipe()).code)"
    )
    copy = tmp_path / "optuna_layerwise"
    for path in (ROOT / "optuna_layerwise").rglob("*.py"):
        target = copy / path.relative_to(ROOT / "optuna_layerwise")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())

    def digest(path: Path) -> str:
        run = [sys.executable, "-c", code.format(path=str(path))]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()

    before = digest(tmp_path)
    assert before == digest(ROOT)
    (copy / "policy.py").write_text((copy / "policy.py").read_text() + "# edited\n")
    assert digest(tmp_path) != before


def test_an_unreadable_fingerprint_is_passed_over_with_a_warning(ours: Fingerprint) -> None:
    study = optuna.create_study(study_name="s")
    record(study, ours)
    study.set_user_attr(FINGERPRINT_KEY + "0123456789ab", {"v": 1, "data": 3})
    with pytest.warns(UserWarning, match="fingerprint:0123456789ab' of study 's' cannot be read"):
        assert set(used_fingerprints(study)) == {ours.digest}

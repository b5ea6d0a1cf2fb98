"""Trials that go on inside an epoch, the weights that are kept, and what is removed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from interrupting import SignalAt
from optuna.pruners import BasePruner, NopPruner, ThresholdPruner
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState
from safetensors import safe_open
from safetensors.torch import load_file

from optuna_layerwise import FinetuneObjective, ModelSpec, TrialPaused
from optuna_layerwise.data import Splits, load_data
from optuna_layerwise.objective.trial_files import TrialFiles
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.run import RUN_KEY
from optuna_layerwise.storage import STUDY_KEY, TIE_KEY, study_id
from optuna_layerwise.training import EpochResult

RECIPE = Recipe(lr=3e-3, epochs=4, patience=None, batch_size=25)
BLOCKS = ("stem", "stage1", "stage2", "stage3", "head")
EVERYTHING = {f"imp/{block}": 0.75 for block in BLOCKS} | {"imp/__threshold__": 0.1}
TIMES = ("seconds", "phases", "started", "finished", "peak_memory_bytes")


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_data("digits", image_size=8)


@pytest.fixture
def make(digits_weights: Path, splits: Splits, tmp_path: Path) -> Any:
    def make_objective(**options: Any) -> FinetuneObjective:
        spec = ModelSpec(name="digits_cnn", weights=digits_weights, image_size=8)
        given = {"recipe": RECIPE, "checkpoints": tmp_path / "files", "keep_weights": 1, **options}
        given.setdefault("encoding", "biotune")
        return FinetuneObjective(model=spec, data=splits, device="cpu", **given)

    return make_objective


def new_study(
    storage: InMemoryStorage | None = None, pruner: BasePruner | None = None, name: str = "s"
) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        direction="maximize",
        study_name=name,
        sampler=RandomSampler(seed=0),
        pruner=pruner or NopPruner(),
    )


def copy_of(study: optuna.Study) -> optuna.Study:
    """With the id of its source, but none of its trials."""
    copy = new_study()
    copy._storage.set_study_system_attr(copy._study_id, STUDY_KEY, study_id(study))
    return copy


def run_of(trial: FrozenTrial) -> dict[str, Any]:
    return {key: value for key, value in trial.user_attrs[RUN_KEY].items() if key not in TIMES}


def names(objective: FinetuneObjective, study: optuna.Study) -> set[str]:
    assert objective.files is not None
    folder = objective.files.folder(study)
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def kept(objective: FinetuneObjective, study: optuna.Study, number: int) -> dict[str, Any]:
    assert objective.files is not None
    return load_file(objective.files.weights(study, number))


def assert_equal_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


LAST_BLOCKS = {f"imp/{block}": 0.1 for block in BLOCKS[:3]} | {"imp/stage3": 0.5, "imp/head": 0.9}


@pytest.mark.sweep
@pytest.mark.parametrize("params", [EVERYTHING, LAST_BLOCKS | {"imp/__threshold__": 0.2}])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("seeds", [(0,), (3, 4, 5)])
def test_an_interrupted_trial_goes_on_and_ends_as_an_uninterrupted_one(
    make: Any,
    tmp_path: Path,
    seeds: tuple[int, ...],
    number: signal.Signals,
    params: dict[str, float],
) -> None:
    """Also where what frozen blocks give is stored, which each process has to do anew."""
    whole, study = new_study(), new_study(SignalAt(0, 2, number=number))
    for one in (whole, study):
        one.enqueue_trial(params)
    whole.optimize(make(seeds=seeds, checkpoints=tmp_path / "whole"), n_trials=1)
    for _ in range(2):
        objective = make(seeds=seeds)
        with pytest.raises(TrialPaused):
            study.optimize(objective, n_trials=1)
        assert names(objective, study) == {"trial-0.checkpoint"}
    study.optimize(make(seeds=seeds), n_trials=1)
    [trial], [expected] = study.trials, whole.trials
    assert (trial.params, trial.value) == (expected.params, expected.value)
    assert trial.intermediate_values == expected.intermediate_values
    run, expected_run = run_of(trial), run_of(expected)
    flops, expected_flops = run.pop("flops"), expected_run.pop("flops")
    assert flops == expected_flops if params == EVERYTHING else flops > expected_flops
    assert run == expected_run  # images seen, too
    assert names(objective, study) == {"trial-0.safetensors"}
    at_whole = TrialFiles(tmp_path / "whole").weights(whole, 0)
    assert_equal_weights(kept(objective, study, 0), load_file(at_whole))


class Counted(FinetuneObjective):
    """Counts the epochs that it trains."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.trained: list[tuple[int, int]] = []
        self.stop_at: tuple[int, int] | None = None
        self._train = self.trainer.train
        self.trainer.train = self.train  # type: ignore[method-assign]

    def train(self, policy: Policy, train: Any, val: Any, seed: int, **options: Any) -> Any:
        inner = options.pop("on_epoch")

        def on_epoch(result: EpochResult) -> None:
            self.trained.append((seed, result.epoch))
            if (seed, result.epoch) == self.stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            if inner is not None:
                inner(result)

        return self._train(policy, train, val, seed, on_epoch=on_epoch, **options)


def test_finished_seeds_are_not_trained_again_and_the_present_one_goes_on(
    digits_weights: Path, splits: Splits, tmp_path: Path
) -> None:
    objective = Counted(
        model=ModelSpec(name="digits_cnn", weights=digits_weights, image_size=8),
        data=splits,
        recipe=RECIPE,
        seeds=(3, 4, 5),
        checkpoints=tmp_path,
    )
    study, objective.stop_at = new_study(), (4, 1)
    with pytest.raises(TrialPaused):
        study.optimize(objective, n_trials=1)
    assert objective.trained[-1] == (4, 1)
    objective.trained, objective.stop_at = [], None
    study.optimize(objective, n_trials=1)
    told_of, trained = objective.trained[:2], objective.trained[2:]
    assert told_of == [(4, 0), (4, 1)]
    assert trained == [(4, 2), (4, 3), (5, 0), (5, 1), (5, 2), (5, 3)]


def test_a_signal_after_the_last_step_loses_nothing(make: Any) -> None:
    study = new_study(SignalAt(RECIPE.epochs - 1))
    objective = make()
    with pytest.raises(TrialPaused):
        study.optimize(objective, n_trials=1)
    [trial] = study.trials
    assert trial.state == TrialState.WAITING
    assert names(objective, study) == {"trial-0.checkpoint"}
    again = make()
    again.train = None  # nothing is left to be trained
    study.optimize(again, n_trials=1)
    assert study.trials[0].state == TrialState.COMPLETE
    assert names(objective, study) == {"trial-0.safetensors"}


def test_reports_that_a_copy_of_the_study_lacks_are_made_from_the_checkpoint(make: Any) -> None:
    """A database was restored from before the trial: the trial that comes is the same."""
    whole = new_study()
    whole.optimize(make(checkpoints=None, keep_weights=0), n_trials=1)
    interrupted = new_study(SignalAt(2))
    study = copy_of(interrupted)
    with pytest.raises(TrialPaused):
        interrupted.optimize(make(), n_trials=1)
    study.optimize(make(), n_trials=1)
    assert study.trials[0].intermediate_values == whole.trials[0].intermediate_values
    assert list(whole.trials[0].intermediate_values) == [0, 1, 2, 3]


def test_without_a_folder_nothing_is_written_and_the_trial_starts_again(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    study, objective = new_study(SignalAt(1)), make(checkpoints=None, keep_weights=0)
    with pytest.raises(TrialPaused):
        study.optimize(objective, n_trials=1)
    study.optimize(objective, n_trials=1)
    [trial] = study.trials
    assert trial.state == TrialState.COMPLETE
    assert set(tmp_path.rglob("*")) == before


def test_weights_of_the_best_trials_stay_and_those_that_fell_out_go(make: Any) -> None:
    objective, study = make(keep_weights=3), new_study()
    for n_trials in range(1, 13):
        study.optimize(objective, n_trials=1)
        ranking = sorted(
            study.trials, key=lambda t: (-(t.value or 0), t.user_attrs[TIE_KEY], t.number)
        )
        best = {f"trial-{trial.number}.safetensors" for trial in ranking[:3]}
        assert names(objective, study) == best, n_trials


def test_kept_weights_are_those_of_the_value_and_say_what_they_are(
    make: Any, splits: Splits
) -> None:
    objective, study = make(seeds=(0, 1, 2)), new_study()
    study.optimize(objective, n_trials=1)
    [trial] = study.trials
    assert objective.files is not None
    path = objective.files.weights(study, 0)
    with safe_open(path, "pt") as file:
        about = file.metadata()
    assert Policy.from_json(about["policy"]) == objective.encoding.decode(trial.params)
    by_seed = [seed["accuracy"] for seed in trial.user_attrs[RUN_KEY]["metrics"]]
    seed = by_seed.index(max(by_seed))
    assert (about["trial"], about["seed"]) == ("0", str(seed))
    spec = dataclasses.replace(objective.spec, weights=path)
    metrics = objective.trainer.evaluate(spec.build(len(splits.classes)), splits.val)
    assert metrics == trial.user_attrs[RUN_KEY]["metrics"][seed]


def test_a_trial_that_repeats_another_keeps_no_second_copy(make: Any) -> None:
    objective, study = make(keep_weights=5), new_study()
    study.optimize(objective, n_trials=1)
    for _ in range(2):
        study.enqueue_trial(study.trials[0].params)
    study.optimize(objective, n_trials=2)
    assert [run_of(trial)["outcome"] for trial in study.trials] == ["complete", *["repeated"] * 2]
    assert names(objective, study) == {"trial-0.safetensors"}


def test_trials_that_do_not_complete_leave_nothing(make: Any) -> None:
    pruner = ThresholdPruner(lower=1.1, n_warmup_steps=1)
    objective, study = make(checkpoint_seconds=0), new_study(pruner=pruner)
    study.optimize(objective, n_trials=1)
    assert study.trials[0].state == TrialState.PRUNED
    assert names(objective, study) == set()
    wild = dataclasses.replace(RECIPE, optimizer="sgd", lr=1e20, max_lr=1e30)
    study.enqueue_trial(EVERYTHING)
    study.optimize(make(recipe=wild, checkpoint_seconds=0), n_trials=1)
    assert run_of(study.trials[1])["outcome"] == "diverged"
    assert names(objective, study) == set()


def test_files_that_a_dead_process_left_are_removed_when_the_next_trial_begins(
    make: Any,
) -> None:
    objective, study = make(keep_weights=2), new_study()
    study.optimize(objective, n_trials=2)
    assert objective.files is not None
    folder = objective.files.folder(study)
    stay = {"trial-0.safetensors", "trial-1.safetensors", "notes.txt"}
    leftovers = {
        "trial-0.checkpoint",  # it died between the trial's end and the removal
        "unfinished-123-trial-1.checkpoint",  # while it wrote
        "unfinished-123-trial-0.safetensors",
        "trial-7.checkpoint",  # of an older study of that name
        "trial-9.safetensors",
    }
    for name in {*leftovers, "notes.txt"}:
        (folder / name).write_bytes(b"")
    objective.files.clean(study)
    assert names(objective, study) == stay


def test_a_running_trial_of_another_process_keeps_its_files(make: Any) -> None:
    objective, study = make(), new_study()
    study.optimize(objective, n_trials=1)
    study.ask()
    assert objective.files is not None
    for name in ("trial-1.checkpoint", "unfinished-123-trial-1.checkpoint"):
        (objective.files.folder(study) / name).write_bytes(b"")
    study.optimize(objective, n_trials=1)
    assert {"trial-1.checkpoint", "unfinished-123-trial-1.checkpoint"} < names(objective, study)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "a/b\\c:d*?", "Leaves", "leaves", "", " ", "Blätter 🌿", "x" * 5000],
)
def test_any_study_name_has_a_folder_of_its_own(tmp_path: Path, name: str) -> None:
    files, seen = TrialFiles(tmp_path), set()
    for other in (name, name + "!", "leaves."):
        folder = files.folder(optuna.create_study(study_name=other))
        assert folder.parent == tmp_path
        folder.mkdir()
        seen.add(folder.name.lower())
    assert len(seen) == 3


Interrupted = tuple[optuna.Study, Counted]


def stored_study(path: Path, **options: Any) -> optuna.Study:
    return optuna.create_study(
        storage=f"sqlite:///{path}",
        direction="maximize",
        study_name="s",
        load_if_exists=True,
        **{"sampler": RandomSampler(seed=0), **options},
    )


@pytest.fixture
def interrupted(digits_weights: Path, splits: Splits, tmp_path: Path) -> Interrupted:
    """A study in ``a.db`` whose trial was given back in the second of two seeds."""
    objective = Counted(
        model=ModelSpec(name="digits_cnn", weights=digits_weights, image_size=8),
        data=splits,
        recipe=RECIPE,
        seeds=(3, 4),
        checkpoints=tmp_path / "files",
    )
    study, objective.stop_at = stored_study(tmp_path / "a.db"), (4, 1)
    with pytest.raises(TrialPaused):
        study.optimize(objective, n_trials=1)
    objective.trained, objective.stop_at = [], None
    return study, objective


def test_one_study_name_in_two_databases_is_two_studies(make: Any, tmp_path: Path) -> None:
    one, other = (stored_study(tmp_path / f"{name}.db") for name in "ab")
    objective = make(keep_weights=1)
    one.optimize(objective, n_trials=1)
    first = kept(objective, one, 0)
    other.enqueue_trial(EVERYTHING)
    other.optimize(make(keep_weights=1), n_trials=1)
    assert_equal_weights(first, kept(objective, one, 0))
    assert names(objective, one) == names(objective, other) == {"trial-0.safetensors"}


def test_a_copy_of_a_database_removes_nothing_of_its_source(
    interrupted: Interrupted, tmp_path: Path
) -> None:
    study, objective = interrupted
    shutil.copy(tmp_path / "a.db", tmp_path / "backup.db")
    backup = stored_study(tmp_path / "backup.db")
    backup.optimize(objective, n_trials=1)
    assert objective.files is not None
    assert objective.files.unneeded(backup) == []
    backup.optimize(objective, n_trials=1)
    assert names(objective, study) == {"trial-0.checkpoint"}


@pytest.mark.sweep
@pytest.mark.parametrize("moved", ["its database", "its folder, which version 0.1.0 has named"])
def test_what_was_moved_goes_on_from_its_checkpoint(
    interrupted: Interrupted, tmp_path: Path, moved: str
) -> None:
    study, objective = interrupted
    assert objective.files is not None
    source = objective.files.folder(study)
    if moved == "its database":
        study = stored_study((tmp_path / "a.db").rename(tmp_path / "b.db"))
    else:
        source = source.rename(source.with_name(f"s-{hashlib.sha256(b's').hexdigest()[:8]}"))
    study.optimize(objective, n_trials=1)
    assert objective.trained == [(4, 0), (4, 1), (4, 2), (4, 3)]  # nothing of the first seed
    assert study.trials[0].state == TrialState.COMPLETE
    assert {path.name for path in source.iterdir()} == {"trial-0.checkpoint"}


def test_a_checkpoint_of_another_policy_is_refused_by_name(make: Any) -> None:
    other = new_study(SignalAt(1))
    with pytest.raises(TrialPaused):
        other.optimize(make(), n_trials=1)
    study = copy_of(other)
    study.enqueue_trial(EVERYTHING)
    with pytest.warns(UserWarning, match="trial-0.checkpoint is not used.*another trial: policy"):
        study.optimize(make(), n_trials=1)
    assert study.trials[0].state == TrialState.COMPLETE


def test_results_of_finished_seeds_in_another_form_are_refused(
    make: Any,
) -> None:
    study, objective = new_study(SignalAt(RECIPE.epochs - 1)), make()
    with pytest.raises(TrialPaused):
        study.optimize(objective, n_trials=1)
    older = make()
    checkpoint = older._checkpoint(
        study, study.trials[0], objective.encoding.decode(study.trials[0].params), older.recipe
    )
    assert checkpoint is not None
    checkpoint.trial["run"]["a field of yesterday"] = 1
    checkpoint.save()
    with pytest.warns(UserWarning, match="is not used.*a field of yesterday"):
        study.optimize(make(), n_trials=1)
    assert study.trials[0].state == TrialState.COMPLETE


def test_a_full_disk_costs_the_weights_and_not_the_trial(
    make: Any, tiny_disk: Callable[[int], Path]
) -> None:
    objective, study = make(checkpoints=tiny_disk(50_000)), new_study()
    with pytest.warns(UserWarning, match="weights of trial 0 are not kept: .*No space"):
        study.optimize(objective, n_trials=1)
    assert study.trials[0].state == TrialState.COMPLETE
    assert names(objective, study) == set()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoints": None, "keep_weights": 2}, "keep_weights=2 needs a folder"),
        ({"keep_weights": -1}, "keep_weights must be at least 0, got -1"),
        ({"checkpoint_seconds": -1.0}, "checkpoint_seconds must be at least 0, got -1.0"),
        ({"checkpoint_seconds": float("nan")}, "checkpoint_seconds must be at least 0, got nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    make: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)

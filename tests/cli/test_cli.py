"""The command line as a person uses it."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from commands import DIGITS, QUICK_END, Cli, load
from forking import Command
from PIL import Image

from optuna_layerwise.cli.searching import run
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.models import ModelSpec, Team
from optuna_layerwise.storage import FINAL_KEY, open_storage


def test_tune_searches_and_prints_the_verdict_the_baselines_and_what_to_type_next(
    cli: Cli,
) -> None:
    code, out, _ = cli("tune", "--trials", "3", "--epochs", "2", "--threads", "1")
    assert code == 0
    for expected in (
        "50 training, 100 validation and 746 test images",
        "classes 5: 10, 6: 10, 7: 10, 8: 10, 9: 10 (training images)",
        "blocks  stem, stage1, stage2, stage3, head",
        "search  catcmawm on binary, seed 0; trials of at most 2 epochs",
        "for one worker: ",
        "results in sqlite:///optuna-layerwise.db; weights in ",
        "learning rate",
        "full fine-tuning",
        "logistic regression on the frozen features",
        "full fine-tuning from a fitted head",
        "the middle blocks from a fitted",
        "Verdict\nUse ",
        "Promised before the test, by 5 folds: accuracy 0.",
        "On five other splits of these digits",
        "optuna-layerwise export",
        "optuna-layerwise dashboard",
        "optuna-layerwise resume",
    ):
        assert expected in out
    assert [trial.number for trial in load("digits").trials] == [0, 1, 2]


@pytest.mark.slow
def test_how_the_device_computes_is_a_setting_and_the_saved_work_is_told(cli: Cli) -> None:
    code, out, _ = cli(*DIGITS, "--trials", "3", "--compute", "precision=bf16")
    assert code == 0
    assert "saved over training every block" in out
    assert "saved" in cli("compare", "digits")[1]
    settings = Settings.from_study(load("digits"))
    assert settings.compute == {"precision": "bf16"}
    assert cli(*DIGITS, "--trials", "4", "--compute", "micro_batch=8")[0] == 0  # may change
    code, _, err = cli(*DIGITS, "--study", "other", "--compute", "amp=true")
    assert code == 2
    assert err.startswith("error: unknown --compute settings ['amp']; there are ['precision',")


def test_trials_are_a_target_and_the_test_result_stays(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "2")
    assert "opened once, so its result stays" not in cli("status")[1]
    first = load("digits").user_attrs["olw:final"]
    assert cli(*DIGITS, "--trials", "2")[0] == 0
    assert len(load("digits").trials) == 2
    code, out, _ = cli("resume", "--study", "digits", "--trials", "3")
    assert code == 0
    assert "opened once, so its result stays" in out
    assert len(load("digits").trials) == 3
    assert load("digits").user_attrs["olw:final"] == first


@pytest.mark.slow
def test_status_and_compare_show_the_studies(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "2", "--study", "a")
    cli(*DIGITS, "--trials", "2", "--study", "b", "--sampler", "tpe")
    _, out, _ = cli("status")
    assert "2 of 2" in out
    assert "finalized" in out
    code, out, _ = cli("compare", "a", "b")
    assert code == 0
    for expected in ("catcmawm", "tpe", "full fine-tuning (test)", "images seen", "trained share"):
        assert expected in out


def test_pause_stops_before_the_next_trial_and_resume_goes_on(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "1")
    assert cli("pause", "--study", "digits")[0] == 0
    assert "paused" in cli("status")[1]
    code, out, _ = cli(*DIGITS, "--trials", "3")
    assert code == 3
    assert "paused after 1 finished trials" in out
    assert cli("resume", "--study", "digits", "--trials", "3")[0] == 0
    assert len(load("digits").trials) == 3


def test_export_writes_a_policy_and_weights_that_load(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for deliver in ("one", "team"):
        cli(*DIGITS, "--trials", "2", "--study", deliver, "--deliver", deliver, "--compete")
        assert cli("export", "--study", deliver, "--to", "out")[0] == 0
        content = json.loads((tmp_path / "out/policy.json").read_text())
        assert list(content["policy"]) == ["stem", "stage1", "stage2", "stage3", "head"]
        [snippet] = re.findall(
            r"```python\n(.*?)```", (tmp_path / "out/README.md").read_text(), re.S
        )
        names: dict[str, Any] = {}
        Image.new("RGB", (9, 9)).save(tmp_path / "out" / "photo.jpg")
        with monkeypatch.context() as there:
            there.chdir(tmp_path / "out")
            exec(snippet, names)  # as its reader would
        assert names["probabilities"].sum() == pytest.approx(1)
        assert names["model"](torch.zeros(2, 3, 8, 8)).shape == (2, 5)
        assert isinstance(names["model"], Team) is (deliver == "team")


@pytest.mark.slow
def test_export_refuses_weights_of_another_study(cli: Cli, tmp_path: Path) -> None:
    cli(*DIGITS, "--trials", "1", "--storage", "sqlite:///a.db")
    cli(*DIGITS, "--trials", "1", "--storage", "sqlite:///b.db", "--seed", "1", "--lr", "0.02")
    one, other = (
        Path(load("digits", f"sqlite:///{name}.db").user_attrs[FINAL_KEY]["weights"]["path"])
        for name in "ab"
    )
    one.write_bytes(other.read_bytes())
    code, _, err = cli("export", "--storage", "sqlite:///a.db", "--study", "digits")
    assert code == 2
    assert "there is no such file, or another one" in err
    assert (tmp_path / "exported/policy.json").exists()
    assert not (tmp_path / "exported/model.safetensors").exists()


@pytest.mark.slow
def test_weights_of_the_best_trials_are_kept_on_request(cli: Cli, tmp_path: Path) -> None:
    for keep in (0, 2):
        output = tmp_path / str(keep)
        arguments = ("--study", str(keep), "--output", str(output), "--keep-weights", str(keep))
        assert cli(*DIGITS, "--trials", "3", *arguments)[0] == 0
        best = sorted(load(str(keep)).trials, key=lambda t: (-(t.value or 0), t.number))[:keep]
        names = {path.name for path in (output / "trials").rglob("*.safetensors")}
        assert len(names) == keep
        assert f"trial-{best[0].number}.safetensors" in names if keep else True


@pytest.mark.slow
def test_sampler_options_are_part_of_the_study(cli: Cli) -> None:
    options = ("--sampler-option", "reproduction=batched", "--sampler-option", "population=8")
    options = ("--sampler", "biotune", *options)
    assert cli(*DIGITS, *options, "--trials", "1")[0] == 0
    assert Settings.from_study(load("digits")).sampler_options == {
        "reproduction": "batched",
        "population": 8,
    }
    assert cli(*DIGITS, "--trials", "1")[0] == 2


@pytest.mark.slow
def test_the_paper_preset_takes_the_papers_choices(cli: Cli) -> None:
    assert cli(*DIGITS, "--preset", "paper", "--trials", "1")[0] == 0
    settings = Settings.from_study(load("digits"))
    assert (settings.seeds, settings.n_folds, settings.head) == ((684, 559, 629), 2, "search")
    assert settings.recipe.bn == "train"
    assert settings.recipe.metric == "balanced_accuracy"
    assert not settings.tie_break


@pytest.mark.slow
def test_real_images_and_real_weights(cli: Cli, shared_data: Path) -> None:
    code, out, err = cli(
        "tune",
        *("--data", str(shared_data / "busi"), "--model", "mobilenet_v2"),
        *("--model-arg", "width_mult=0.35", "--mean", "0.5", "--std", "0.5"),
        *("--weights", str(shared_data / "weights/mobilenet_v2_w035_imagenet_notop.pth")),
        *("--image-size", "48", "--encoding", "biotune", "--sampler", "biotune"),
        *("--trials", "2", "--epochs", "1", "--seeds-per-trial", "1", "--seed", "0"),
        *("--finalists", "1", "--final-seeds", "1", "--threads", "1"),
        *("--storage", "sqlite:///tune.db", "--study", "busi"),
    )
    assert (code, err) == (0, "")
    assert "468 training, 156 validation and 156 test images of 3 classes" in out
    assert load("busi", "sqlite:///tune.db").best_value > 0.2


@pytest.mark.slow
@pytest.mark.parametrize(("option", "outcome"), [((), "repeated"), (("--no-reuse",), "complete")])
def test_what_an_equal_trial_has_trained_is_taken_over_unless_told_otherwise(
    cli: Cli, option: tuple[str, ...], outcome: str
) -> None:
    assert cli(*DIGITS, "--encoding", "binary-fixed", "--trials", "1", *option)[0] == 0
    study = load("digits")
    study.enqueue_trial(study.trials[0].params)
    assert cli("resume", "--study", "digits", "--trials", "2")[0] == 0
    first, second = load("digits").trials
    assert second.user_attrs["olw:run"]["outcome"] == outcome
    assert second.value == first.value


@pytest.mark.slow
def test_trials_that_are_low_in_their_generation_are_pruned_on_request_only(cli: Cli) -> None:
    assert isinstance(Settings().make_pruner(), optuna.pruners.NopPruner)
    arguments = (*DIGITS, "--epochs", "4", "--patience", "0", "--trials", "10", "--prune")
    assert cli(*arguments, "--sampler", "random")[0] == 0
    trials = load("digits").trials
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    assert pruned
    assert {len(trial.intermediate_values) for trial in pruned} <= {2, 3}
    assert all(trial.state.name == "COMPLETE" for trial in trials[:5])


@pytest.mark.slow
def test_a_race_is_run_and_told_of_unless_told_otherwise(cli: Cli) -> None:
    tune = ("tune", "--threads", "1", "--trials", "5", "--finalists", "5", "--epochs", "1")
    tune += QUICK_END
    assert "of those clearly behind were saved" in cli(*tune, "--study", "a")[1]
    assert "of those clearly behind were saved" not in cli(*tune, "--study", "b", "--no-race")[1]
    raced, whole = (load(name).user_attrs["olw:final"]["finalists"] for name in "ab")
    assert sum(len(f["val"]) for f in raced) < sum(len(f["val"]) for f in whole) == 15


@pytest.mark.slow
def test_finalists_follow_the_trials_where_nothing_is_said(cli: Cli) -> None:
    arguments = ("tune", "--threads", "1", "--epochs", "1", "--final-seeds", "1", *QUICK_END)
    assert cli(*arguments, "--trials", "4")[0] == 0
    assert Settings.from_study(load("digits")).finalists is None
    assert len(load("digits").user_attrs["olw:final"]["finalists"]) == 1
    assert cli(*arguments, "--trials", "5")[0] == 0


# --- resuming ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_study_of_an_older_version_is_continued(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "1")
    study = load("digits")
    settings = json.loads(study.user_attrs["olw:settings"])
    for added in ("reuse", "race"):
        del settings[added]
    study.set_user_attr("olw:settings", json.dumps(settings))
    assert cli("resume", "--study", "digits", "--trials", "2")[0] == 0


def test_another_configuration_is_refused_and_nothing_changes(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "1")
    before = load("digits").user_attrs
    code, _, err = cli(*DIGITS, "--trials", "2", "--lr", "0.5")
    assert code == 2
    assert "exists with another configuration: --lr is 0.003 there and 0.5 here" in err
    assert load("digits").user_attrs == before


@pytest.mark.slow
def test_of_two_that_start_a_study_at_once_the_later_must_agree(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "1")
    theirs = Settings.from_study(load("digits"))
    recipe = dataclasses.replace(theirs.recipe, lr=0.5)
    ours = dataclasses.replace(theirs, recipe=recipe, trials=2)
    with pytest.raises(ValueError, match="another configuration"):
        run(ours, None, "sqlite:///optuna-layerwise.db", "digits")
    assert Settings.from_study(load("digits")) == theirs
    assert len(load("digits").trials) == 1


def images(folder: Path, *, seed: int = 0, n: int = 10) -> Path:
    """Class folders of noise around a colour each."""
    rng = np.random.default_rng(seed)
    for label, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            pixels = np.clip(rng.normal(colour, 30, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i}.png")
    return folder


FOLDER = ("--data", "pictures", "--model", "digits_cnn")


@pytest.mark.slow
def test_changed_data_are_refused_on_resume_and_moved_ones_are_not(
    cli: Cli, tmp_path: Path
) -> None:
    images(tmp_path / "pictures")
    assert cli(*DIGITS, *FOLDER, "--trials", "1")[0] == 0
    (tmp_path / "pictures").rename(tmp_path / "moved")
    assert cli("resume", "--study", "pictures")[0] == 2
    assert cli("resume", "--study", "pictures", "--data", "moved")[0] == 0
    Image.new("RGB", (8, 8)).save(tmp_path / "moved/red/3.png")
    code, _, err = cli("resume", "--study", "pictures", "--data", "moved", "--trials", "2")
    assert code == 2
    assert "data_fingerprint" in err
    assert len(load("pictures").trials) == 1


@pytest.mark.slow
def test_changed_weights_are_refused_on_resume(cli: Cli, tmp_path: Path) -> None:
    model = ModelSpec(name="digits_cnn", weights=None).build(num_classes=5)
    torch.save(model.state_dict(), "weights.pth")
    assert cli(*DIGITS, "--weights", "weights.pth", "--trials", "1")[0] == 0
    with torch.no_grad():
        next(model.parameters()).add_(1)
    torch.save(model.state_dict(), "weights.pth")
    code, _, err = cli("resume", "--study", "digits", "--trials", "2")
    assert code == 2
    assert "model_digest" in err


@pytest.mark.slow
def test_a_search_stopped_by_a_signal_and_resumed_equals_an_uninterrupted_one(
    cli: Cli, tmp_path: Path
) -> None:
    arguments = ("--trials", "12", "--epochs", "6", "--threads", "1", "--finalists", "1")
    assert cli("tune", *arguments, "--storage", "sqlite:///whole.db")[0] == 0
    command = [sys.executable, "-c", "from optuna_layerwise.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "tune", *arguments], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    while "trial 3:" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "nothing is lost" in rest
    stopped = load("digits")
    assert 4 <= len(stopped.trials) < 12
    assert all(t.state.is_finished() or t.state.name == "WAITING" for t in stopped.trials)
    waiting = [t.number for t in stopped.trials if t.state.name == "WAITING"]
    files = tmp_path / "optuna-layerwise-runs" / "digits" / "trials"
    assert [p.name for p in files.glob("*/*")] == [f"trial-{n}.checkpoint" for n in waiting]
    assert cli("resume", "--study", "digits")[0] == 0
    resumed, whole = load("digits").trials, load("digits", "sqlite:///whole.db").trials
    assert [(t.number, t.params, t.value) for t in resumed] == [
        (t.number, t.params, t.value) for t in whole
    ]
    assert not list(files.glob("*/*"))


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.sweep(8)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--encoding", "biotun"), "did you mean 'biotune'"),
        (("--sampler", "biotime"), "did you mean 'biotune'"),
        (("--data", "cifar10"), "--model is missing"),
        (("--data", "nowhere"), "no such folder: 'nowhere'"),
        (("--data", "nowhere.csv"), "no such file: 'nowhere.csv'"),
        (("--data", "nowhere", "--model", "digits_cnn"), "no such folder"),
        (("--data", "digits", "--model", "resnet81"), "did you mean"),
        (("--storage", "postgresql://u:secret@127.0.0.1:1/x"), "cannot open the storage"),
        (("--storage", "nonsense"), "cannot open the storage"),
        (("--weights", "nowhere.pth"), "nowhere.pth"),
        (("--trials", "0"), "--trials must be at least 1, got 0"),
        (("--folds", "60"), "--folds must be 1 to the number of images"),
        (("--sampler-option", "seed=3"), "say --seed 3 instead of --sampler-option seed=3"),
        (("--mean", "a"), "--mean must be one number or three"),
        (("--model-arg", "width"), "--model-arg must be name=value, got 'width'"),
        (("--lr", "0"), "--lr must be"),
        (("--metric", "acuracy"), "--metric must be one of"),
        (("--preset", "papers"), "--preset must be one of"),
        (("--granularity", "layers"), "--granularity must be one of stage, block, layer"),
        (("--head", "never"), "--head must be one of always, search"),
        (("--device", "cuda:7"), "device"),
        (
            ("--model", "alexnet", "--weights", "none", "--image-size", "16"),
            "cannot take images of 16 x 16",
        ),
        (("--model", "resnet18", "--weights", "none", "--model-arg", "with=1"), "does not take"),
        (("--model", "resnet20"), "there are no published weights of resnet20"),
        (("--sampler-option", "populations=8"), "does not take"),
        (("--sampler-option", "population=3"), "--sampler-option population must be at least 4"),
        (("--seed", "-1"), "--seed must be at least 0"),
        (("--sampler", "cmaes", "--encoding", "binary"), "cannot search categories"),
        (("--preset", "paper", "--sampler", "tpe"), "name it: --preset"),
        (("--init-from", "first", "--sampler", "tpe"), "--init-from is for --sampler catcmawm"),
        (("--init-from", "first"), "there is no database"),
        (("--no-retrain", "--folds", "2"), "choose --folds 1 or --retrain"),
        (("--seeds-per-trial", "0"), "--seeds-per-trial must be from 1"),
        (("--threads", "0"), "--threads must be at least 1"),
        (("--keep-weights", "-1"), "--keep-weights must be at least 0, got -1"),
        (("--checkpoint-seconds", "-1"), "--checkpoint-seconds must be at least 0, got -1"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_study(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    code, _, err = cli(*DIGITS, *arguments)
    assert code == 2
    assert expected in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1
    assert "secret" not in err
    if (tmp_path / "optuna-layerwise.db").exists():
        assert not optuna.get_all_study_names(open_storage("sqlite:///optuna-layerwise.db"))


def test_a_study_that_does_not_exist_is_refused_with_those_that_do(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "1")
    assert cli("status", "--storage", "sqlite:///typo.db")[0] == 2
    assert not Path("typo.db").exists()
    for command in ("resume", "pause", "export"):
        code, _, err = cli(command, "--study", "digit")
        assert code == 2
        assert "there are ['digits']" in err


@pytest.mark.slow
def test_a_study_left_without_settings_by_a_crash_can_be_used(cli: Cli) -> None:
    optuna.create_study(
        study_name="digits", storage="sqlite:///optuna-layerwise.db", direction="maximize"
    )
    assert cli(*DIGITS, "--trials", "1")[0] == 0


@pytest.mark.slow
def test_a_study_of_several_objectives_does_not_hide_the_others(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "1")
    optuna.create_study(
        study_name="two",
        storage="sqlite:///optuna-layerwise.db",
        directions=["maximize", "minimize"],
    )
    code, out, _ = cli("status")
    assert code == 0
    assert "1 of 1" in out
    assert "two" in out


def test_a_plain_optuna_study_of_the_same_name_is_left_alone(cli: Cli) -> None:
    study = optuna.create_study(study_name="digits", storage="sqlite:///optuna-layerwise.db")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    code, _, err = cli(*DIGITS)
    assert code == 2
    assert "was not created by `optuna-layerwise tune`" in err


@pytest.mark.slow
def test_an_empty_image_is_named_and_skipped_only_on_request(cli: Cli, tmp_path: Path) -> None:
    images(tmp_path / "pictures")
    (tmp_path / "pictures/red/4.png").write_bytes(b"")
    code, _, err = cli(*DIGITS, *FOLDER, "--trials", "1")
    assert code == 2
    assert "4.png" in err
    with pytest.warns(UserWarning, match=r"4\.png"):
        assert cli(*DIGITS, *FOLDER, "--trials", "1", "--skip-bad-images")[0] == 0


@pytest.mark.slow
def test_a_diverged_trial_is_recorded_and_the_search_goes_on(cli: Cli) -> None:
    code, _, err = cli(*DIGITS, "--trials", "3", "--weight-decay", "1e30", "--optimizer", "sgd")
    outcomes = {t.user_attrs["olw:run"]["outcome"] for t in load("digits").trials}
    assert code == 2  # every trial diverged: there is nothing to finalize
    assert "no complete trial" in err
    assert outcomes == {"diverged"}


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_what_to_type_next_has_no_password_in_it(tmp_path: Path, url: str) -> None:
    secret = url.replace("postgres@", "postgres:hunter2@")
    ended = Command([*DIGITS, "--no-work", "--storage", secret], tmp_path)
    out, err = ended.communicate(300)
    assert ended.returncode == 0, err
    assert "optuna-layerwise worker --storage" in out
    assert "hunter2" not in out + err

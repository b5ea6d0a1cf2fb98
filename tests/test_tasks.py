"""Several labels at once, and numbers: the same way as one class, from data to predictions."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)
from typer.testing import CliRunner

from optuna_layerwise import FinetuneObjective, Policy, Recipe
from optuna_layerwise.cli.app import app
from optuna_layerwise.data import Splits, load_data, load_examples
from optuna_layerwise.data.folds import held_out_folds
from optuna_layerwise.data.targets import strata
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.prediction import load_exported
from optuna_layerwise.recipe import METRICS
from optuna_layerwise.records.final import Ending
from optuna_layerwise.tasks import TASKS, Multilabel, Regression, Task, task_of
from optuna_layerwise.training import Checkpoint, FitStopped
from optuna_layerwise.training.fitted_head import fit_linear

DIGITS = load_digits()
N = 120
PIXELS = (DIGITS.images[:N] * 255 / 16).astype(np.uint8)
OTHERS = ("multilabel", "regression")


def labels(task: str, n: int = N) -> list[Any]:
    """What is said of the first digits: their names; what they have; their ink and its centre."""
    digits = DIGITS.target[:n]
    if task == "classification":
        return [str(digit) for digit in digits]
    if task == "multilabel":
        return [
            [n for n, has in (("even", d % 2 == 0), ("loop", d in (0, 6, 8, 9))) if has]
            for d in digits
        ]
    ink = DIGITS.images[:n].mean((1, 2))
    centre = (DIGITS.images[:n] * np.arange(8)).sum((1, 2)) / ink / 64
    return np.stack([100 * ink, centre], axis=1).tolist()


def splits(task: Any) -> Splits:
    names = ("ink", "centre") if task == "regression" else None
    return load_examples((PIXELS, labels(task)), task=task, classes=names, image_size=8)


def objective(task: str, **options: Any) -> FinetuneObjective:
    recipe = Recipe(
        epochs=2, patience=None, batch_size=8, head_start="fitted", metric=METRICS[task][0]
    )
    return FinetuneObjective(
        model="digits_cnn", data=splits(task), recipe=recipe, device="cpu", **options
    )


def random_case(task: str, n: int = 40) -> tuple[Task, torch.Tensor, NDArray[Any]]:
    """A task, outputs of three networks for n examples, and labels."""
    rng = np.random.default_rng(0)
    outputs = torch.from_numpy(rng.normal(size=(3, n, 3)).round(1))  # with equal ones
    if task == "classification":
        return TASKS[task](), outputs, rng.integers(3, size=n)
    if task == "multilabel":
        return Multilabel(), outputs, (rng.random((n, 3)) < 0.4).astype(np.uint8)
    scale = ((5.0, 2.0), (0.0, 0.1), (-3.0, 30.0))
    return Regression(scale), outputs, rng.normal(size=(n, 3)) * 3


def test_metrics_of_several_labels_and_of_numbers_are_those_of_sklearn() -> None:
    task, outputs, true = random_case("multilabel")
    said, probabilities = task.measure(outputs[0], true), task.answers(outputs[0])
    assert said == pytest.approx(
        {
            "macro_f1": f1_score(true, probabilities >= 0.5, average="macro"),
            "map": average_precision_score(true, probabilities, average="macro"),
            "loss": np.mean([log_loss(true[:, i], probabilities[:, i]) for i in range(3)]),
        }
    )
    task, outputs, true = random_case("regression")
    said, numbers = task.measure(outputs[0], true), task.answers(outputs[0])
    _, std = np.array(task.scale).T
    assert said == pytest.approx(
        {
            "r2": r2_score(true, numbers),
            "mae": mean_absolute_error(true, numbers),
            "loss": mean_squared_error(true / std, numbers / std),
        }
    )
    assert task.loss(outputs[0], torch.from_numpy(true)).item() == pytest.approx(said["loss"])


@pytest.mark.parametrize("task", OTHERS)
def test_scores_are_the_metrics_of_examples_that_count_that_often(task: str) -> None:
    kind, outputs, true = random_case(task)
    weights = np.random.default_rng(1).integers(0, 3, size=(4, len(true))).astype(float)
    answers = np.stack([kind.answers(each) for each in outputs])
    for metric in kind.choices:
        found = kind.scores(answers, true, metric, weights)
        for row, counts in zip(found, weights.astype(int), strict=True):
            rows = np.repeat(np.arange(len(true)), counts)
            expected = [kind.measure(each[rows], true[rows])[metric] for each in outputs]
            np.testing.assert_allclose(row, expected)


@pytest.mark.parametrize("task", TASKS)
def test_a_team_answers_with_the_mean_of_its_members_answers(task: str) -> None:
    kind, outputs, true = random_case(task)
    answers = np.stack([kind.answers(each) for each in outputs])
    weights = [0.5, 0.3, 0.2]
    mean = np.tensordot(weights, answers, axes=1)
    np.testing.assert_allclose(kind.answers(kind.mixed([*outputs], weights)), mean, atol=1e-5)
    np.testing.assert_allclose(
        kind.answers(torch.from_numpy(kind.outputs_of(mean))), mean, atol=1e-9
    )
    evidence = kind.evidence(answers, true)
    np.testing.assert_allclose(
        np.tensordot(weights, evidence, axes=1), kind.evidence(mean[None], true)[0], atol=1e-6
    )
    loss = kind.measure(outputs[0], true)["loss"]
    assert kind.cost(evidence)[0] == pytest.approx(loss)


@pytest.mark.parametrize("task", OTHERS)
def test_a_fitted_head_answers_what_features_say(task: str) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 5)) * 10 + 3
    hidden = features @ rng.normal(size=(5, 2))
    true: Any = hidden
    kind: Task = Regression(tuple(zip(hidden.mean(0), hidden.std(0), strict=True)))
    if task == "multilabel":
        kind, true = Multilabel(), (hidden > hidden.mean(0)).astype(np.uint8)
    weight, bias = fit_linear(features, true, 2, kind)
    metrics = kind.measure(torch.from_numpy(features).float() @ weight.T + bias, true)
    assert metrics["map" if task == "multilabel" else "r2"] > 0.95
    never = np.zeros_like(true)  # nothing to tell apart: the same answer for all
    if task == "multilabel":
        weight, bias = fit_linear(features, never, 2, kind)
        assert not weight.any() and (bias < -3).all()


@pytest.mark.parametrize("task", OTHERS)
def test_splits_and_folds_spread_what_the_labels_say(task: str) -> None:
    data = splits(task)
    train, test = data.train, data.test.open()
    assert (train.task, len(train), len(data.val), len(test)) == (task, 72, 24, 24)
    shares = np.stack([part.labels.mean(axis=0) for part in (train, data.val, test)])
    spread = train.labels.std(axis=0)
    assert (np.abs(shares - shares[0]) < 0.25 * spread).all()
    for rest, held_out in held_out_folds(train, 4):
        assert abs(len(held_out) - 18) <= 2
        away = np.abs(held_out.labels.mean(axis=0) - rest.labels.mean(axis=0))
        assert (away < 0.5 * spread).all()
    assert data.train.scale == data.val.scale == test.scale
    if task == "regression":
        wide = train.labels.astype(float)
        np.testing.assert_allclose(train.scale, np.stack([wide.mean(0), wide.std(0)], axis=1))


def test_rare_labels_are_no_strata_of_their_own() -> None:
    rows = np.zeros((30, 4), np.uint8)
    rows[:15, 0], rows[15:29, 1], rows[3, 2], rows[29, 3] = 1, 1, 1, 1
    assert min(n for n in np.bincount(strata(rows)) if n) >= 5


@pytest.mark.parametrize("task", OTHERS)
def test_an_interrupted_training_goes_on_to_the_very_bits(task: str, tmp_path: Path) -> None:
    ours = objective(task).trainer
    train, val = ours.data.train, ours.data.val
    policy = Policy.uniform(ours.blocks, ["stage3", "head"])
    whole, again = ours.model(), ours.model()
    ours.train(policy, train, val, 0, model=whole)
    checkpoint, asked = Checkpoint(tmp_path / "fit.pt", {"task": task}, every=0), iter(range(99))
    with pytest.raises(FitStopped):
        ours.train(
            *(policy, train, val, 0),
            model=ours.model(),
            should_stop=lambda: next(asked) == 12,  # in the middle of the second epoch
            checkpoint=checkpoint,
        )
    ours.train(policy, train, val, 0, model=again, checkpoint=checkpoint)
    pairs = zip(whole.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("deliver", ["one", "team"])
@pytest.mark.parametrize("task", OTHERS)
def test_what_is_saved_says_what_was_tested(task: str, deliver: Any, tmp_path: Path) -> None:
    ours = objective(task)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(direction=ours.direction, sampler=sampler)
    study.optimize(ours, n_trials=2)
    file = tmp_path / "w.safetensors"
    ending = Ending(folds=2, refit=True, deliver=deliver, compete=False)
    final = ours.finalize(
        study, seeds=(7, 8), ending=ending, weights=file, references=["probe-fitted"]
    )
    assert final.delivered is not None and final.delivered.is_team == (deliver == "team")
    assert final.delivered.promised is not None
    exported, test = load_exported(file, device="cpu"), ours.data.test.open()
    answers = exported.predict_proba(test.batch())
    kind = task_of(test)
    found = kind.measure(kind.outputs_of(answers), test.labels)
    expected = {name: final.delivered.test[name] for name in kind.metrics}
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    names = [name for name in final.baselines if "regression" in name.name]
    assert ("ridge" in names[0].name) == (task == "regression")
    first = exported.predict(test.batch()[:1])[0]
    if task == "multilabel":
        assert first == tuple(np.array(exported.classes)[answers[0] >= 0.5])
    else:
        np.testing.assert_allclose(first, answers[0], rtol=1e-5)  # a batch of one


def write_table(folder: Path, n: int = 60) -> Path:
    (folder / "images").mkdir()
    rows = []
    has, numbers = labels("multilabel", n), labels("regression", n)
    for place in range(n):
        name = f"images/{place}.png"
        Image.fromarray(PIXELS[place]).convert("RGB").save(folder / name)
        even = int("even" in has[place])
        rows.append((name, ";".join(has[place]), even, 1 - even, *numbers[place]))
    with (folder / "table.csv").open("w", newline="") as file:
        header = ("image", "labels", "even", "odd", "ink", "centre")
        csv.writer(file).writerows([header, *rows])
    return folder / "table.csv"


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("task", "column", "names"),
    [
        ("multilabel", "labels", ["even", "loop"]),
        ("multilabel", "even,odd", ["even", "odd"]),
        ("regression", "ink,centre", ["ink", "centre"]),
    ],
)
def test_the_commands_serve_every_task(
    task: str, column: str, names: list[str], tmp_path: Path
) -> None:
    runner, url, table = CliRunner(), f"sqlite:///{tmp_path}/s.db", write_table(tmp_path)
    quick = ["--trials", "2", "--epochs", "1", "--finalists", "1", "--final-seeds", "1"]
    quick += ["--final-folds", "1", "--no-compete", "--deliver", "one", "--no-live"]
    data = ["--data", str(table), "--task", task, "--column", f"label={column}"]
    network = ["--model", "digits_cnn", "--image-size", "8"]
    here = ["--storage", url, "--study", "s"]

    def said(*arguments: str) -> str:
        result = runner.invoke(app, arguments)
        assert result.exit_code == 0, result.output
        return result.output

    output = ["--output", str(tmp_path / "runs")]
    assert f"test {METRICS[task][0]}" in said("tune", *data, *network, *here, *quick, *output)
    report = tmp_path / "report.md"
    said("report", *here, "-o", str(report))
    noun = "labels" if task == "multilabel" else "targets"
    assert f"| {noun} | 2: {', '.join(names)} |" in report.read_text()
    folder, images = tmp_path / "exported", [str(tmp_path / f"images/{i}.png") for i in (0, 1)]
    said("export", *here, "--to", str(folder))
    with_package = list(csv.DictReader(said("predict", *images, "--model", str(folder)).split()))
    done = subprocess.run(
        [sys.executable, str(folder / "predict.py"), *images],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for _, name, *_ in lines] == names * 2
    cells = [f"p({name})" if task == "multilabel" else name for name in names]
    expected = [float(row[cell]) for row in with_package for cell in cells]
    assert [float(value) for _, _, value, *_ in lines] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("task", "column", "cell", "message"),
    [
        ("multilabel", "labels", "even;;loop", "line 2: expected labels separated by ; or |"),
        ("multilabel", "even,odd", "2", "line 2: expected 0 or 1 in 'even', got '2'"),
        ("regression", "ink", "much", "line 2: expected a number in 'ink', got 'much'"),
        ("regression", "ink", "nan", "line 2: expected a number in 'ink', got 'nan'"),
        ("regression", "ink,weight", "1", "has no column 'weight' for the label"),
    ],
)
def test_a_cell_that_is_no_label_is_refused_with_its_line(
    task: Any, column: str, cell: str, message: str, tmp_path: Path
) -> None:
    table = write_table(tmp_path, 30)
    with table.open() as file:
        header, first, *rest = csv.reader(file)
    first[header.index(column.partition(",")[0])] = cell
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([header, first, *rest])
    with pytest.raises(ValueError, match=message.replace("|", r"\|")):
        load_data(table, image_size=8, task=task, columns={"label": column})


def test_what_a_task_does_not_know_is_refused() -> None:
    pixels = PIXELS[:30]
    with pytest.raises(ValueError, match="'target 0' is 4 for every training example"):
        load_examples((pixels, [4.0] * 30), task="regression", image_size=8)
    with pytest.raises(ValueError, match="as many numbers for each"):
        load_examples((pixels, [[1.0]] * 29 + [[1.0, 2.0]]), task="regression", image_size=8)
    with pytest.raises(ValueError, match="finite numbers, got .* as label of item 3"):
        bad = [*map(float, range(30))]
        bad[3] = float("inf")
        load_examples((pixels, bad), task="regression", image_size=8)
    with pytest.raises(ValueError, match="no example has a label"):
        load_examples((pixels, [[]] * 30), task="multilabel", image_size=8)
    with pytest.raises(ValueError, match="rows of 0 and 1"):
        load_examples((pixels, [[2, 0]] * 30), task="multilabel", image_size=8)
    data = splits("regression")
    with pytest.raises(ValueError, match=r"metric 'accuracy' is none of the task 'regression'"):
        FinetuneObjective(model="digits_cnn", data=data, recipe=Recipe())
    with pytest.raises(ValueError, match="class_weights='balanced' is for classes"):
        recipe = Recipe(metric="r2", class_weights="balanced")
        FinetuneObjective(model="digits_cnn", data=data, recipe=recipe)
    with pytest.raises(ValueError, match="task='regression' is an option of a table"):
        load_data("digits", image_size=8, task="regression")
    with pytest.raises(ValueError, match=r"--metric must be one of \['loss', 'r2', 'mae'\] for"):
        Settings(task="regression", recipe=Recipe(metric="auc"))

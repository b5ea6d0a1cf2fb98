"""Precision, layout, micro-batches, compilation, determinism and memory."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transfer import Transfer

from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.recipe_methods import GradientNorms
from optuna_layerwise.training import Compute, Trainer, ran_out_of_memory
from optuna_layerwise.training.compute import determinism

BLOCKS = ("stem", "stage1", "stage2", "stage3", "head")
RECIPE = Recipe(lr=3e-3, epochs=3, patience=None, batch_size=16, bn="eval_all")
CPU = torch.device("cpu")


def make(digits: Transfer, recipe: Recipe = RECIPE, **compute: Any) -> Trainer:
    settings = Compute(**compute)
    return Trainer(digits.spec, digits.splits, recipe, device="cpu", compute=settings)


def train(trainer: Trainer, first: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    policy = Policy({block: float(index >= first) for index, block in enumerate(BLOCKS)})
    model, data = trainer.model(), trainer.data
    trainer.train(policy, data.train, data.val, seed, model=model)
    return model.state_dict()


def distance(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """Largest difference of any weight."""
    pairs = ((tensor.double(), theirs[name].double()) for name, tensor in ours.items())
    return max(float((a - b).abs().max()) for a, b in pairs)


def test_the_defaults_of_a_device() -> None:
    assert Compute().on(CPU) == Compute(precision="fp32", channels_last=False)
    given = Compute(precision="bf16", channels_last=True)
    assert given.on(CPU) == given


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("precision", "fp8", "precision must be one of .*'bf16'.* got 'fp8'"),
        ("micro_batch", 0, "micro_batch must be a whole number, at least 1, got 0"),
        ("prefix_memory", -1, "prefix_memory must be a whole number, at least 0, got -1"),
        ("prefix_disk", 1.5, "prefix_disk must be a whole number"),
        ("prefix_disk", None, "prefix_disk must be a whole number"),
        ("compile", "yes", "compile must be true or false, got 'yes'"),
        ("deterministic", None, "deterministic must be true or false, got None"),
    ],
)
def test_settings_out_of_range_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Compute(**{field: value})  # type: ignore[arg-type]


def test_settings_survive_json_and_unknown_ones_are_named() -> None:
    settings = Compute(precision="bf16", micro_batch=8)
    content = json.loads(json.dumps(dataclasses.asdict(settings)))
    assert Compute.from_json(content) == settings
    with pytest.raises(ValueError, match=r"unknown compute settings \['amp'\]; there are \['prec"):
        Compute.from_json({"amp": True})


def test_accumulated_micro_batches_are_the_whole_batch(digits: Transfer) -> None:
    whole, parts = train(make(digits)), train(make(digits, micro_batch=5))
    assert 0 < distance(whole, parts) < 1e-3  # Adam amplifies rounding of small gradients
    sgd = dataclasses.replace(RECIPE, optimizer="sgd")
    whole, parts = train(make(digits, sgd)), train(make(digits, sgd, micro_batch=5))
    assert 0 < distance(whole, parts) < 1e-5


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    "other", [{"channels_last": True}, {"precision": "bf16"}, {"precision": "fp16"}]
)
@pytest.mark.parametrize("method", [None, GradientNorms()], ids=["plain", "auto-rgn"])
def test_layout_and_precision_change_rounding_only(
    digits: Transfer, other: Any, method: GradientNorms | None
) -> None:
    sgd = dataclasses.replace(RECIPE, optimizer="sgd", method=method)
    plain = train(make(digits, sgd))
    changed = train(make(digits, sgd, **other))
    moved = distance(plain, digits.build().state_dict())
    assert distance(plain, changed) < 0.05 * moved
    assert all(tensor.dtype == changed[name].dtype for name, tensor in plain.items())


def test_mixed_precision_stores_prefixes_in_half_the_bytes(
    digits: Transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = {("cpu", "memory"): 0.0, ("cpu", "disk"): 0.0}
    monkeypatch.setattr("optuna_layerwise.training.prefixes.LEAST_FLOPS_PER_BYTE", least)
    used = []
    for precision in ("fp32", "bf16"):
        trainer = make(digits, precision=precision, prefix_disk=0)
        ends = [train(trainer, first=3) for _ in range(2)]
        off = make(digits, precision=precision, prefix_memory=0, prefix_disk=0)
        assert distance(ends[0], train(off, first=3)) == distance(*ends) == 0.0
        used.append(trainer.engine.store.used["memory"])
    assert used[0] == 2 * used[1] > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # from within torch
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for a CPU with g++")
def test_compiled_graphs_serve_many_trials(digits: Transfer) -> None:
    sgd = dataclasses.replace(RECIPE, optimizer="sgd")
    plain, compiled = make(digits, sgd), make(digits, sgd, compile=True)

    def history(trainer: Trainer, trained: tuple[str, ...], seed: int = 0) -> Any:
        policy = Policy.uniform(BLOCKS, trained)
        return trainer.train(policy, trainer.data.train, trainer.data.val, seed).history

    graphs = torch._dynamo.utils.counters["stats"]
    graphs.clear()
    masks = [BLOCKS, BLOCKS[2:], ("stage1", "stage3", "head"), BLOCKS[3:]]
    for mask in masks:
        ours, theirs = history(compiled, mask), history(plain, mask)
        assert ours[-1]["train_loss"] == pytest.approx(theirs[-1]["train_loss"], rel=1e-3)
    compilations = graphs["unique_graphs"]
    assert compilations > 0
    for seed in (1, 2):
        for mask in [*masks, ("stage1", "stage2", "head"), BLOCKS[1:]]:
            history(compiled, mask, seed)
    assert graphs["unique_graphs"] <= compilations + 4  # the states of two blocks, not of 12 runs


def test_deterministic_trainings_repeat_and_the_switch_is_put_back(digits: Transfer) -> None:
    trainer = make(digits, deterministic=True)
    assert distance(train(trainer), train(trainer)) == 0.0
    assert not torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with determinism(True):
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_threads_that_want_determinism_share_the_switch() -> None:
    first, second = determinism(True), determinism(True)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.are_deterministic_algorithms_enabled()
    second.__exit__(None, None, None)
    assert not torch.are_deterministic_algorithms_enabled()


def test_only_errors_of_memory_count_as_such() -> None:
    with pytest.raises(RuntimeError) as full:
        torch.empty(2**60)
    assert ran_out_of_memory(full.value)
    assert ran_out_of_memory(MemoryError())
    assert not ran_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


OUT_OF_MEMORY = """
import dataclasses, json, resource, warnings
import numpy as np, optuna, torch
from optuna_layerwise import FinetuneObjective, ModelSpec, Policy, Recipe, load_data
from optuna_layerwise.data import Images
from optuna_layerwise.records.run import RUN_KEY
torch.set_num_threads(1)
torch.backends.mkldnn.set_flags(False)  # it remembers which kernels it could not make
rng = np.random.Generator(np.random.Philox(0))

def images(n):
    labels = np.arange(n) % 2
    pixels = rng.integers(0, 99, (n, 128, 128, 3), np.uint8) + 99 * labels[:, None, None, None]
    return Images(pixels.astype(np.uint8), labels, ("a", "b"), tuple(map(str, range(n))))

warnings.filterwarnings("ignore", "the search starts from random weights")
splits = load_data("digits", image_size=8)
data = dataclasses.replace(splits, train=images(32), val=images(8), classes=("a", "b"))
spec = ModelSpec(name="resnet18", weights=None, image_size=128)
objective = FinetuneObjective(
    model=spec, data=data, recipe=Recipe(epochs=1, batch_size=32), encoding="binary", device="cpu"
)

def allow(megabytes):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limit = used + megabytes * 2**20 if megabytes else resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))

study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
outcomes = []
for megabytes in [60, *range(200, 600, 40), None]:
    if megabytes and len(outcomes) > 1 and outcomes[-1][0] == "complete":
        continue
    study.enqueue_trial({f"train/{block}": True for block in list(objective.blocks)[:-1]})
    allow(megabytes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.optimize(objective, n_trials=1)
    allow(None)
    run = study.trials[-1].user_attrs[RUN_KEY]
    assert (study.trials[-1].state.name == "FAIL") == (run["outcome"] == "out of memory")
    outcomes.append([run["outcome"], objective.trainer.engine.micro_batch, run["images_seen"]])
print(json.dumps(outcomes))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as Linux does")
def test_memory_that_runs_out_halves_the_micro_batch_or_is_recorded_and_the_study_goes_on() -> (
    None
):
    command = [sys.executable, "-W", "error", "-c", OUT_OF_MEMORY]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    first, *others, last = json.loads(run.stdout)
    assert first == ["out of memory", None, 0]  # even single images; nothing is halved for good
    assert [other for other in others if other != first] == [others[-1]]
    outcome, micro_batch, images_seen = others[-1]
    assert (outcome, images_seen) == ("complete", 32)
    assert micro_batch in (1, 2, 4, 8, 16)
    assert last == others[-1]  # what fits is kept

"""A fit that is stopped, or dies, and goes on ends as one that was never interrupted."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
import pickle
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transfer import Transfer

from optuna_layerwise.recipe import Recipe
from optuna_layerwise.training import Checkpoint, Fit, FitStopped

RECIPE = Recipe(lr=3e-3, epochs=4, patience=None, batch_size=16)  # of 4 steps each
IDENTITY = {"data": "digits"}


def after(steps: int) -> Callable[[], bool]:
    """Stop when so many steps have been made."""
    asked = iter(range(10_000))
    return lambda: next(asked) == steps


def with_dropout(digits: Transfer) -> nn.Module:
    model = digits.build()
    model.stage3.append(nn.Dropout(0.3))  # type: ignore[union-attr, operator]
    return model


def saved_state(path: Path) -> dict[str, Any]:
    states: list[Mapping[str, Any]] = []
    assert Checkpoint(path, IDENTITY).restore_fit(states.append)
    return dict(states[0])


def equal(one: Any, other: Any) -> bool:
    """Bit for bit, through containers."""
    if torch.is_tensor(one):
        return torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def trained(
    digits: Transfer,
    path: Path,
    *,
    steps: int = 1000,
    recipe: Recipe = RECIPE,
    policy: Mapping[str, float] | None = None,
    every: float = 0.0,
) -> tuple[Fit, nn.Module, int]:
    """A fit in lives of so many steps, each with a new model; the last model, and the lives."""
    for lives in range(1, 100):
        model, checkpoint = with_dropout(digits), Checkpoint(path, IDENTITY, every=every)
        try:
            fit = digits.fit(
                model, policy, recipe, should_stop=after(steps), checkpoint=checkpoint
            )
        except FitStopped:
            continue
        return fit, model, lives
    raise AssertionError("it never ends")


def assert_same_end(one: tuple[Fit, nn.Module, int], other: tuple[Fit, nn.Module, int]) -> None:
    (fit, model, _), (whole, whole_model, _) = one, other
    assert equal(model.state_dict(), whole_model.state_dict())
    for field in ("history", "best_epoch", "metrics", "diverged"):
        assert getattr(fit, field) == getattr(whole, field)
    for field in ("images_seen", "flops", "flops_of_all"):
        assert getattr(fit.cost, field) == getattr(whole.cost, field)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_fit_in_many_lives_ends_with_the_bits_of_an_uninterrupted_one(
    digits: Transfer, tmp_path: Path, optimizer: Any, schedule: Any
) -> None:
    """Stopped after every third step: inside epochs and, at the twelfth, between two."""
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, schedule=schedule, weight_decay=0.01)
    whole = trained(digits, tmp_path / "whole", recipe=recipe)
    pieces = trained(digits, tmp_path / "pieces", recipe=recipe, steps=3)
    assert (whole[2], pieces[2]) == (1, 6)
    assert_same_end(pieces, whole)
    one, other = saved_state(tmp_path / "pieces"), saved_state(tmp_path / "whole")
    for name in ("seconds", "past_phases"):  # the only things that differ
        del one[name], other[name]
    assert {"parts", "changing", "best", "generators", "order", "total_loss"} <= one.keys()
    assert equal(one, other)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("bn", ["eval_frozen", "train", "eval_all"])
@pytest.mark.parametrize("steps", [1, 7])
def test_moving_statistics_and_best_weights_go_on(
    digits: Transfer, tmp_path: Path, bn: Any, steps: int
) -> None:
    recipe = Recipe(lr=0.02, epochs=20, patience=2, metric="loss", schedule="constant", bn=bn)
    policy = digits.policy(stem=0.0, stage1=0.0)
    whole = trained(digits, tmp_path / "whole", recipe=recipe, policy=policy)
    pieces = trained(
        digits, tmp_path / "pieces", recipe=recipe, policy=policy, steps=steps, every=math.inf
    )
    assert whole[0].best_epoch is not None and whole[0].best_epoch < len(whole[0].history) - 1
    assert pieces[2] > 1
    assert_same_end(pieces, whole)


def test_a_fit_that_died_goes_on_from_its_last_epoch_and_tells_of_those_before(
    digits: Transfer, tmp_path: Path
) -> None:
    whole = trained(digits, tmp_path / "whole")
    with pytest.raises(ZeroDivisionError):
        digits.fit(
            with_dropout(digits),
            None,
            RECIPE,
            on_epoch=lambda result: 1 // (2 - result.epoch),
            checkpoint=Checkpoint(tmp_path / "file", IDENTITY, every=0.0),
        )
    told, asked, model = [], [], with_dropout(digits)
    fit = digits.fit(
        model,
        None,
        RECIPE,
        on_epoch=told.append,
        should_stop=lambda: asked.append(1) is not None,
        checkpoint=Checkpoint(tmp_path / "file", IDENTITY),
    )
    assert_same_end((fit, model, 2), whole)
    assert [result.epoch for result in told] == [0, 1, 2, 3]
    assert [result.metrics for result in told] == list(whole[0].history)
    assert len(asked) == 2 * 4


class Warming(nn.Module):
    """Counts its calls in a buffer that it replaces, as modules may."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.calls = self.calls + 1
        return features * (1 + self.calls / 100)


def test_buffers_that_modules_replace_go_on_and_come_back_with_the_best_epoch(
    digits: Transfer, tmp_path: Path
) -> None:
    def build() -> nn.Module:
        model = digits.build()
        model.stage3.append(Warming())  # type: ignore[union-attr, operator]
        return model

    recipe = Recipe(lr=0.02, epochs=20, patience=2, metric="loss", batch_size=16)
    whole = digits.fit(whole_model := build(), None, recipe)
    assert whole.best_epoch is not None and whole.best_epoch < len(whole.history) - 1
    assert whole_model.state_dict()["stage3.3.calls"] == 4 * (whole.best_epoch + 1)
    path = tmp_path / "file"
    with pytest.raises(FitStopped):
        digits.fit(
            build(),
            None,
            recipe,
            should_stop=after(7),
            checkpoint=Checkpoint(path, IDENTITY),
        )
    fit = digits.fit(model := build(), None, recipe, checkpoint=Checkpoint(path, IDENTITY))
    assert_same_end((fit, model, 1), (whole, whole_model, 1))


def test_a_finished_fit_is_not_trained_again(digits: Transfer, tmp_path: Path) -> None:
    whole = trained(digits, tmp_path / "file")
    again = trained(digits, tmp_path / "file", steps=0)
    assert again[2] == 1
    assert_same_end(again, whole)


def test_epochs_are_saved_when_it_is_time_and_not_before(digits: Transfer, tmp_path: Path) -> None:
    for every, saves in ((0.0, True), (3600.0, False)):
        path = tmp_path / str(every)
        seen: list[bool] = []
        digits.fit(
            digits.build(),
            None,
            RECIPE,
            on_epoch=lambda _, path=path, seen=seen: seen.append(path.exists()),  # type: ignore[misc]
            checkpoint=Checkpoint(path, IDENTITY, every=every),
        )
        assert seen == [False, saves, saves, saves]
        assert path.exists() is saves


def test_what_takes_long_to_save_is_saved_less_often(tmp_path: Path) -> None:
    for every, due in ((0.01, False), (0.0, True)):
        checkpoint = Checkpoint(tmp_path / str(every), IDENTITY, every=every)
        time.sleep(0.02)
        assert checkpoint.is_due()
        checkpoint.save({"many": torch.zeros(4_000_000)})  # takes 20 milliseconds at least
        time.sleep(0.02)
        assert checkpoint.is_due() is due


def stopped(digits: Transfer, path: Path, *, recipe: Recipe = RECIPE, seed: int = 0) -> None:
    """Leaves a checkpoint in its second epoch."""
    with pytest.raises(FitStopped):
        digits.fit(
            with_dropout(digits),
            None,
            recipe,
            seed=seed,
            should_stop=after(6),
            checkpoint=Checkpoint(path, IDENTITY),
        )


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999999])
def test_a_file_that_is_cut_short_is_refused_and_the_fit_restarts(
    digits: Transfer, tmp_path: Path, share: float
) -> None:
    stopped(digits, path := tmp_path / "file")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.warns(UserWarning, match="file is not used.* cut short"):
        fit, model, lives = trained(digits, path)
    assert lives == 1
    assert_same_end((fit, model, 1), trained(digits, tmp_path / "whole"))


def test_a_single_changed_bit_is_noticed(digits: Transfer, tmp_path: Path) -> None:
    stopped(digits, path := tmp_path / "file")
    content = path.read_bytes()
    for place in range(0, len(content), len(content) // 40):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.warns(UserWarning, match="is not used"):
            assert not Checkpoint(path, IDENTITY).restore_fit(lambda _: None)


def test_a_file_of_another_trial_is_refused_with_what_differs(
    digits: Transfer, tmp_path: Path
) -> None:
    stopped(digits, path := tmp_path / "file")
    with pytest.warns(UserWarning, match="another trial: data is digits there and leaves here"):
        assert not Checkpoint(path, {"data": "leaves"}).restore_fit(lambda _: None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"recipe": dataclasses.replace(RECIPE, lr=2e-3)}, "lr is 0.003 there and 0.002 here"),
        ({"recipe": dataclasses.replace(RECIPE, bn="eval_all")}, "modules in eval mode is"),
        ({"recipe": dataclasses.replace(RECIPE, optimizer="sgd")}, "optimizer is adam there"),
        ({"policy": {"stem": 0.0}}, r"trained parameters is \['stem.*there and \['stage1"),
        ({"policy": {"stem": 0.5}}, "groups is"),
        ({"shorter": True}, r"images is \[50, \d+\] there and \[49"),
    ],
)
def test_a_state_of_another_fit_is_refused_before_anything_is_changed(
    digits: Transfer, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    """Which parameters train, at which rates, and which modules rest: the freeze plan."""
    stopped(digits, path := tmp_path / "file")
    options = {
        "policy": digits.policy(**change.get("policy", {})),
        "recipe": change.get("recipe", RECIPE),
        "seed": change.get("seed", 0),
        "train": digits.splits.train.subset(slice(50 - change.get("shorter", False))),
    }
    with pytest.warns(UserWarning, match=f"another fit: .*{reason}"):
        digits.fit(
            refused := with_dropout(digits), **options, checkpoint=Checkpoint(path, IDENTITY)
        )
    digits.fit(fresh := with_dropout(digits), **options)
    assert equal(refused.state_dict(), fresh.state_dict())


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The file with another state in it, whole and with the right digest."""
    state = saved_state(path)
    change(state)
    Checkpoint(path.with_name("unused"), IDENTITY).save(state)
    path.with_name("unused").replace(path)


def test_seconds_add_up_over_the_lives(digits: Transfer, tmp_path: Path) -> None:
    stopped(digits, path := tmp_path / "file")
    assert 0 < saved_state(path)["seconds"] < 100
    rewritten(path, lambda state: state.update(seconds=1000.0))
    assert 1000 < trained(digits, path)[0].cost.seconds < 1100


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s["parts"]["optimizer"]["param_groups"][0].update(lr=1.0), "learning rates"),
        (lambda s: s.pop("order"), "lacks order"),
        (lambda s: s["changing"].popitem(), "another network"),
        (lambda s: s["best"].update({"head.bias": torch.zeros(3)}), "another network: head.bias"),
        (lambda s: s["parts"].pop("schedule"), "expected parts"),
        (lambda s: s.update(changing=None), "not used"),
    ],
)
def test_a_state_that_does_not_hold_together_is_refused(
    digits: Transfer, tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    stopped(digits, path := tmp_path / "file")
    rewritten(path, change)
    with pytest.warns(UserWarning, match=reason):
        fit, model, _ = trained(digits, path)
    assert_same_end((fit, model, 1), trained(digits, tmp_path / "whole"))


class Malice:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("disguised", [False, True])
def test_code_in_a_file_is_never_run(tmp_path: Path, disguised: bool) -> None:
    proof, path = tmp_path / "proof", tmp_path / "file"
    buffer = io.BytesIO()
    torch.save({"identity": IDENTITY, "trial": Malice(proof), "fit": None}, buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    first = f"optuna-layerwise checkpoint 1 {digest}\n".encode() if disguised else b""
    path.write_bytes(first + content)
    with pytest.warns(UserWarning, match="cannot be read" if disguised else "no checkpoint of"):
        Checkpoint(path, IDENTITY)
    path.write_bytes(pickle.dumps(Malice(proof)))
    with pytest.warns(UserWarning, match="no checkpoint of"):
        Checkpoint(path, IDENTITY)
    assert not proof.exists()
    pickle.loads(pickle.dumps(Malice(proof)))
    assert proof.exists()  # it would have worked


def test_a_file_of_another_version_is_refused_by_number(digits: Transfer, tmp_path: Path) -> None:
    stopped(digits, path := tmp_path / "file")
    path.write_bytes(path.read_bytes().replace(b"checkpoint 1 ", b"checkpoint 0 ", 1))
    with pytest.warns(UserWarning, match="has version 0, and this package reads version 1"):
        Checkpoint(path, IDENTITY)


def test_a_full_disk_costs_one_warning_and_the_training_goes_on(
    digits: Transfer, tmp_path: Path, tiny_disk: Callable[[int], Path]
) -> None:
    path = tiny_disk(100_000) / "folder" / "file"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit, model, _ = trained(digits, path)
    [warning] = caught
    assert "cannot be written" in str(warning.message) and "No space" in str(warning.message)
    assert list(path.parent.iterdir()) == []
    assert_same_end((fit, model, 1), trained(digits, tmp_path / "whole"))


def test_a_disk_that_fills_up_leaves_the_older_checkpoint(
    tiny_disk: Callable[[int], Path],
) -> None:
    path = tiny_disk(200_000) / "file"
    checkpoint = Checkpoint(path, IDENTITY)
    checkpoint.save({"epoch": 0, "weights": torch.zeros(20_000)})
    with pytest.warns(UserWarning, match="cannot be written"):
        checkpoint.save({"epoch": 1, "weights": torch.zeros(40_000)})
    assert saved_state(path)["epoch"] == 0
    assert list(path.parent.iterdir()) == [path]


def test_what_the_trial_wants_back_comes_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "file", IDENTITY)
    checkpoint.trial.update(weights=b"\x00\xff", run={"seconds": math.inf, "metrics": [None]})
    checkpoint.save()
    again = Checkpoint(tmp_path / "file", IDENTITY)
    got: list[Mapping[str, Any]] = []
    assert again.restore_trial(got.append) and not again.restore_fit(got.append)
    assert got == [checkpoint.trial] == [again.trial]
    with pytest.warns(UserWarning, match="is not used.*'absent'"):
        assert not again.restore_trial(lambda saved: saved["absent"])
    assert again.trial == {}


class Own(torch.Tensor):
    """A tensor of somebody's own class, as for a quantized optimizer."""


def holding_itself() -> list[Any]:
    mapping: dict[str, Any] = {"rate": 0.5}
    mapping["self"] = mapping
    return [mapping, mapping]


def nested(levels: int) -> list[Any]:
    content: list[Any] = []
    for _ in range(levels):
        content = [content]
    return content


BASE = torch.arange(12.0).reshape(3, 4)
COMPARED: dict[str, tuple[Callable[[], Any], Any]] = {
    # what: a function that makes the content, and something else
    "a tensor": (lambda: torch.ones(3), torch.tensor([1.0, 2.0, 1.0])),
    "another shape": (lambda: torch.ones(1, 3), torch.ones(3)),
    "another dtype": (lambda: torch.ones(3), torch.ones(3, dtype=torch.float64)),
    "not contiguous": (lambda: BASE.t(), BASE.t() + 1),
    "shared storage": (lambda: [BASE, BASE[1:]], [BASE, BASE[:2]]),
    "complex": (lambda: torch.ones(2, dtype=torch.complex64) * 1j, torch.ones(2) * -1j),
    "bfloat16": (lambda: torch.ones(3, dtype=torch.bfloat16), torch.zeros(3).bfloat16()),
    "float8": (lambda: torch.ones(3).to(torch.float8_e4m3fn), torch.zeros(3)),
    "of no dimension": (lambda: torch.tensor(3.0), torch.tensor(4.0)),
    "NaN in a tensor": (lambda: torch.tensor([math.nan, 1.0]), torch.tensor([1.0, math.nan])),
    "NaN": (lambda: {"rate": math.nan}, {"rate": 0.5}),
    "sparse": (lambda: torch.eye(3).to_sparse(), (2 * torch.eye(3)).to_sparse()),
    "meta": (lambda: torch.empty(3, device="meta"), torch.empty(4, device="meta")),
    "a parameter": (lambda: nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))),
    "something that holds itself": (holding_itself, [{"rate": 0.5}]),
    "a tensor, then a number": (lambda: torch.tensor(1.0), 1.0),
}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize("what", COMPARED)
def test_an_identity_is_compared_by_what_is_in_it(what: str, tmp_path: Path) -> None:
    make, other = COMPARED[what]
    path = tmp_path / "trial.checkpoint"
    Checkpoint(path, {"of": make()}).save({"epoch": 1})
    assert Checkpoint(path, {"of": make()}).restore_fit(lambda state: None)
    with pytest.warns(UserWarning, match="it is of another trial: of is .* there and .* here"):
        assert not Checkpoint(path, {"of": other}).restore_fit(lambda state: None)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support", "ignore:Validating sparse")
def test_an_identity_that_cannot_be_compared_is_refused_in_one_line(tmp_path: Path) -> None:
    identity, path = {"of": torch.eye(3).to_sparse_csr()}, tmp_path / "trial.checkpoint"
    Checkpoint(path, identity).save({"epoch": 1})
    with pytest.warns(UserWarning, match=r"a tensor of torch.sparse_csr, torch.float32 cannot be"):
        assert not Checkpoint(path, identity).restore_fit(lambda state: None)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (torch.ones(3).as_subclass(Own), r"\['exp_avg'\] is of type .*Own; only tensors"),  # type: ignore[no-untyped-call]
        (print, r"\['exp_avg'\] is of type builtins.builtin_function_or_method; only tensors"),
        (nested(5000), "it is nested more than 100 levels deep"),
    ],
)
def test_a_state_that_would_not_come_back_costs_one_warning(
    state: Any, said: str, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(tmp_path / "trial.checkpoint", IDENTITY)
    with pytest.warns(UserWarning, match=said) as warned:
        checkpoint.save({"parts": {"exp_avg": state}})
        checkpoint.save({"parts": {"exp_avg": state}})
    assert len(warned) == 1
    assert "cannot be written" in str(warned[0].message)
    assert list(tmp_path.iterdir()) == []
    checkpoint.save({"parts": {"exp_avg": holding_itself()}})
    Checkpoint(tmp_path / "trial.checkpoint", IDENTITY).restore_fit(
        lambda saved: saved["parts"]["exp_avg"][0]["self"]["self"]["rate"]
    )

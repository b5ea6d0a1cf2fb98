from __future__ import annotations

from pathlib import Path

import torch

from optuna_layerwise.data import digits_source
from optuna_layerwise.models import load_weights
from optuna_layerwise.training import Engine
from optuna_layerwise.training.pretrained_digits import SPEC, pretrained_digits


def test_pretrained_network_knows_held_out_digits(cache_dir: Path) -> None:
    model = SPEC.build(num_classes=5)
    load_weights(model, pretrained_digits(cache_dir))
    _, val = digits_source()
    assert (
        Engine(mean=SPEC.mean, std=SPEC.std, device="cpu").evaluate(model, val)["accuracy"] > 0.97
    )


def test_weights_are_reused_and_damaged_ones_are_rebuilt_bit_for_bit(cache_dir: Path) -> None:
    path = pretrained_digits(cache_dir)
    whole, made = path.read_bytes(), path.stat().st_mtime_ns
    before = torch.get_rng_state()
    assert pretrained_digits(cache_dir) == path and path.stat().st_mtime_ns == made
    path.write_bytes(whole[: len(whole) // 2])
    assert pretrained_digits(cache_dir) == path
    assert path.read_bytes() == whole
    assert [entry.name for entry in cache_dir.iterdir()] == [path.name]
    assert torch.equal(torch.get_rng_state(), before)

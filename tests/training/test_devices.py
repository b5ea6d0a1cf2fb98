from __future__ import annotations

import pytest
import torch

from optuna_layerwise.models.seeding import seeded
from optuna_layerwise.training import resolve_device


def test_auto_takes_an_accelerator_only_if_there_is_one() -> None:
    has = torch.cuda.is_available() or torch.backends.mps.is_available()
    assert (resolve_device("auto").type == "cpu") == (not has)
    assert resolve_device("cpu") == torch.device("cpu")


def test_missing_device_says_what_there_is() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(ValueError, match=f"sees {count} CUDA .* choose 'auto' or 'cpu'"):
        resolve_device(f"cuda:{count}")


@pytest.mark.parametrize("name", ["gpu", "meta", "xla"])
def test_unknown_device_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"got '{name}'"):
        resolve_device(name)


def test_seeded_draws_repeat_and_the_global_state_is_put_back() -> None:
    cpu = torch.device("cpu")
    before = torch.get_rng_state()
    draws = []
    for seed in (1, 1, 2):
        with seeded(seed, cpu):
            draws.append(torch.rand(4))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    with pytest.raises(RuntimeError, match="inside"), seeded(1, cpu):
        raise RuntimeError("inside")
    assert torch.equal(torch.get_rng_state(), before)

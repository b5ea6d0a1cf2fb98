"""The digits transfer: a network pretrained on 0 to 4, few images of 5 to 9."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transfer import Transfer

from optuna_layerwise.data import load_data
from optuna_layerwise.models import ModelSpec
from optuna_layerwise.training.pretrained_digits import pretrained_digits

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def digits(cache_dir: Path) -> Transfer:
    spec = ModelSpec(name="digits_cnn", weights=pretrained_digits(cache_dir), image_size=8)
    return Transfer(spec, load_data("digits", image_size=8))

"""A pretrained network that needs no download: `DigitsCNN` on the digits 0 to 4.

The target task, digits 5 to 9 with 10 training images per class, is ``load_data("digits")``.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import platformdirs
import torch
from safetensors.torch import save

from optuna_layerwise.data import digits_source
from optuna_layerwise.io.files import write_whole
from optuna_layerwise.models import ModelSpec, load_weights
from optuna_layerwise.models.seeding import seeded
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.training import Engine, fit

VERSION = 1
"""Raise it when the network, the source images or the training loop change the weights."""

RECIPE = Recipe(
    optimizer="sgd", lr=0.03, weight_decay=5e-4, epochs=10, patience=None, metric="loss"
)
SPEC = ModelSpec(name="digits_cnn", weights=None)
SEED = 0


def pretrained_digits(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """The file of the weights; if it is missing or damaged, it is trained first (about 2 s).

    Args:
        cache_dir: Where it lies; default the user's cache folder. The file's name changes with
            `VERSION` and the recipe, so another release finds or makes its own.

    Examples:
        >>> model = ModelSpec(name="digits_cnn", weights=pretrained_digits()).build(num_classes=5)
    """
    key = hashlib.sha256(json.dumps([VERSION, SEED, RECIPE.to_json(), SPEC.digest]).encode())
    cache = platformdirs.user_cache_dir("optuna-layerwise") if cache_dir is None else cache_dir
    path = Path(cache) / f"digits-cnn-{key.hexdigest()[:16]}.safetensors"
    if not _holds_weights(path):
        write_whole(path, save(_pretrain()))
    return path


def _holds_weights(path: Path) -> bool:
    try:
        load_weights(_network(), path)
    except (FileNotFoundError, ValueError):
        return False
    return True


def _network() -> torch.nn.Module:
    with seeded(SEED, torch.device("cpu")):
        return SPEC.build(num_classes=5)


def _pretrain() -> dict[str, torch.Tensor]:
    train, val = digits_source()
    model = _network()
    blocks = SPEC.partition(model)
    policy = Policy.uniform(blocks)
    engine = Engine(mean=SPEC.mean, std=SPEC.std, device="cpu")
    fit(model, blocks, policy, RECIPE, train, val, engine, seed=SEED)
    return model.state_dict()

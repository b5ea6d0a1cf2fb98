"""A small experiment on the digits that the tests of this room run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.protocols import Arm, Experiment
from benchmarks.protocols.places import Places
from optuna_layerwise.recipe import Recipe

RECIPE = Recipe(lr=3e-3, epochs=1, batch_size=25)
_SHORT: dict[str, Any] = {"recipe": RECIPE, "final_seeds": 2}
EXPERIMENT = Experiment(
    name="trial",
    arms={
        "full": Arm(title="full_tuned", baseline="full", seed_recipes=True, trials=3, **_SHORT),
        "set": Arm(title="set", encoding="set", sampler="set-ga", trials=4, **_SHORT),
        "hybrid": Arm(
            title="hybrid", encoding="hybrid", sampler="catcmawm", work=1.5, trials=30, **_SHORT
        ),
    },
    networks=("digits_cnn",),
    sets=("digits",),
    fractions=(0.5, 1.0),
    runs=(0, 1),
    image_size=8,
)


def places(folder: Path, **others: Any) -> Places:
    return Places(
        data_root=folder,
        storage=f"sqlite:///{folder}/bench.db",
        results=folder / "results",
        device="cpu",
        **others,
    )

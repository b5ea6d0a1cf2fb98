"""The samplers by name; each is imported when it is made, since some need much of scipy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optuna.samplers import BaseSampler


def _biotune(**options: Any) -> BaseSampler:
    from optuna_layerwise.samplers.biotune import BioTuneSampler

    return BioTuneSampler(**options)


def _catcmawm(**options: Any) -> BaseSampler:
    from optuna_layerwise.samplers.catcmawm import CatCMAwMSampler

    return CatCMAwMSampler(**options)


def _set_ga(**options: Any) -> BaseSampler:
    from optuna_layerwise.samplers.set_ga import SetGASampler

    return SetGASampler(**options)


SAMPLERS: dict[str, Callable[..., BaseSampler]] = {
    "biotune": _biotune,
    "catcmawm": _catcmawm,
    "set-ga": _set_ga,
}
"""Name to a function that makes the sampler; each takes ``seed=`` and ``encoding=``."""
STARTS_INFORMED = {"catcmawm"}
"""Of these, the ones that take known recipes and another study's trials as an option."""

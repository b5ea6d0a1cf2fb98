"""Optuna's own test cases, for every sampler and every way to run it."""

from __future__ import annotations

import functools
from collections.abc import Callable

import optuna
import pytest
from optuna.samplers import BaseSampler

from optuna_layerwise.samplers import (
    SAMPLERS,
    BioTuneSampler,
    CatCMAwMSampler,
    SetGASampler,
)

cases = pytest.importorskip("optuna.testing.pytest_samplers", reason="new in Optuna 5")
optuna.logging.set_verbosity(optuna.logging.WARNING)

SMALL: Callable[..., BioTuneSampler] = functools.partial(BioTuneSampler, population=4, elites=1)
VARIANTS: dict[str, Callable[..., BaseSampler]] = {
    **SAMPLERS,
    "biotune small": SMALL,  # the test cases run at most 20 trials: these breed within them
    "biotune batched": functools.partial(SMALL, reproduction="batched"),
    "biotune momentum": functools.partial(SMALL, momentum=True),
    "biotune paper": functools.partial(SMALL, preset="paper"),
    "biotune reevaluating": functools.partial(SMALL, reevaluate_elites=True),
    "catcmawm small": functools.partial(CatCMAwMSampler, population=4),
    "catcmawm paper": functools.partial(CatCMAwMSampler, population=4, preset="paper"),
    "catcmawm diagonal": functools.partial(CatCMAwMSampler, population=5, covariance="diagonal"),
    "set-ga small": functools.partial(SetGASampler, population=4, mutants=2, crossovers=2),
}


class _Ours:
    @pytest.fixture
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        made: Callable[[], BaseSampler] = functools.partial(VARIANTS[request.param], seed=0)
        return made


@pytest.mark.parametrize("sampler", VARIANTS, indirect=True)
class TestBasic(_Ours, cases.BasicSamplerTestCase):  # type: ignore[name-defined,misc]
    pass


@pytest.mark.parametrize("sampler", VARIANTS, indirect=True)
class TestRelative(_Ours, cases.RelativeSamplerTestCase):  # type: ignore[name-defined,misc]
    pass


@pytest.mark.parametrize("sampler", VARIANTS, indirect=True)
class TestSingleObjective(_Ours, cases.SingleOnlySamplerTestCase):  # type: ignore[name-defined,misc]
    pass

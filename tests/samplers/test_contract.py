"""Optuna's own test cases, for every sampler and every way to run BioTune."""

from __future__ import annotations

import functools
from collections.abc import Callable

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from optuna_layerwise.samplers import SAMPLERS, BioTuneSampler

optuna.logging.set_verbosity(optuna.logging.WARNING)

SMALL: Callable[..., BioTuneSampler] = functools.partial(BioTuneSampler, population=4, elites=1)
VARIANTS: dict[str, Callable[..., BaseSampler]] = {
    **SAMPLERS,
    "biotune small": SMALL,  # the test cases run at most 20 trials: these breed within them
    "biotune batched": functools.partial(SMALL, reproduction="batched"),
    "biotune momentum": functools.partial(SMALL, momentum=True),
    "biotune paper": functools.partial(SMALL, preset="paper"),
    "biotune reevaluating": functools.partial(SMALL, reevaluate_elites=True),
    "biotune without elites": functools.partial(BioTuneSampler, population=4, elites=0),
}


class _Ours:
    @pytest.fixture
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        made: Callable[[], BaseSampler] = functools.partial(VARIANTS[request.param], seed=0)
        return made


@pytest.mark.parametrize("sampler", VARIANTS, indirect=True)
class TestBasic(_Ours, BasicSamplerTestCase):
    pass


@pytest.mark.parametrize("sampler", VARIANTS, indirect=True)
class TestRelative(_Ours, RelativeSamplerTestCase):
    pass


@pytest.mark.parametrize("sampler", VARIANTS, indirect=True)
class TestSingleObjective(_Ours, SingleOnlySamplerTestCase):
    pass

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

BIOTUNE: Callable[..., BioTuneSampler] = functools.partial(BioTuneSampler, population=4, elites=1)
# Optuna's test cases run at most 20 trials: with such populations they see several generations.
ALGORITHMS: dict[str, Callable[..., BaseSampler]] = {
    "biotune": BIOTUNE,
    "catcmawm": functools.partial(CatCMAwMSampler, population=4),
    "set-ga": functools.partial(SetGASampler, population=4, mutants=2, crossovers=2),
}
OPTIONS: dict[str, Callable[..., BaseSampler]] = {
    "biotune batched": functools.partial(BIOTUNE, reproduction="batched"),
    "biotune momentum": functools.partial(BIOTUNE, momentum=True),
    "biotune paper": functools.partial(BIOTUNE, preset="paper"),
    "biotune reevaluating": functools.partial(BIOTUNE, reevaluate_elites=True),
    "catcmawm paper": functools.partial(CatCMAwMSampler, population=4, preset="paper"),
    "catcmawm diagonal": functools.partial(CatCMAwMSampler, population=5, covariance="diagonal"),
}


def test_every_algorithm_is_tried() -> None:
    assert set(ALGORITHMS) == set(SAMPLERS)


class _Ours:
    @pytest.fixture
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        made: Callable[[], BaseSampler] = functools.partial(
            (ALGORITHMS | OPTIONS)[request.param], seed=0
        )
        return made


@pytest.mark.sweep(6)
@pytest.mark.parametrize("sampler", ALGORITHMS, indirect=True)
class TestBasic(_Ours, cases.BasicSamplerTestCase):  # type: ignore[name-defined,misc]
    pass


@pytest.mark.sweep(6)
@pytest.mark.parametrize("sampler", ALGORITHMS, indirect=True)
class TestRelative(_Ours, cases.RelativeSamplerTestCase):  # type: ignore[name-defined,misc]
    pass


@pytest.mark.parametrize("sampler", ALGORITHMS, indirect=True)
class TestSeveralObjectives(_Ours, cases.MultiObjectiveSamplerTestCase):  # type: ignore[name-defined,misc]
    pass


@pytest.mark.slow
@pytest.mark.parametrize("sampler", OPTIONS, indirect=True)
class TestOptions(_Ours, cases.BasicSamplerTestCase):  # type: ignore[name-defined,misc]
    """Options change how a point is drawn, not what a study is."""

    test_combination_of_different_distributions_objective = None  # those of its algorithm do

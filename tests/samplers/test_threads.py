from __future__ import annotations

import numpy as np
import optuna
import pytest
from threadpoolctl import ThreadpoolController

from optuna_layerwise.samplers import CatCMAwMSampler, _catcmawm_model, _screening, _surrogate
from optuna_layerwise.samplers._threads import one_thread

LIBRARIES = ThreadpoolController().select(user_api="blas")  # not torch's own


def threads() -> set[int]:
    return {library["num_threads"] for library in LIBRARIES.info()}


def test_a_surrogate_is_the_same_to_the_last_bit_on_any_number_of_threads() -> None:
    generator = np.random.default_rng(0)
    points, costs = generator.random((120, 54)), generator.standard_normal(120)
    inverses = []
    for n in (1, 2):
        with LIBRARIES.limit(limits=n), one_thread():
            inverses.append(_surrogate.fit(points, np.arange(54), costs).inverse)
    assert np.array_equal(*inverses)


def test_a_search_does_its_linear_algebra_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sums of several threads may differ in the last bit, and then all that follows."""
    seen: dict[str, set[int]] = {"fit": set(), "learn": set()}

    def fit(*arguments: object) -> object:
        seen["fit"] |= threads()
        return _surrogate.fit(*arguments)  # type: ignore[arg-type]

    learn = _catcmawm_model.Model.learn

    def learn_seen(self: object, *arguments: object) -> object:
        seen["learn"] |= threads()
        return learn(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(_screening, "fit", fit)
    monkeypatch.setattr(_catcmawm_model.Model, "learn", learn_seen)
    with LIBRARIES.limit(limits=2):
        before = threads()
        study = optuna.create_study(sampler=CatCMAwMSampler(seed=0))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=40)
        assert threads() == before
    assert seen == {"fit": {1}, "learn": {1}}

"""BioTune on genes that have a meaning: gates, inactive genes, invalid points, first children."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from rederiving import assert_rederives

from optuna_layerwise.samplers import BioTuneSampler, Encoding
from optuna_layerwise.storage import trial_record

BLOCKS = [f"block{b}" for b in range(5)]


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Blocks above a threshold are trained, and at least ``least`` of them must be."""

    least: int = 1

    @property
    def search_space(self) -> Mapping[str, BaseDistribution]:
        return {name: FloatDistribution(0, 1) for name in (*BLOCKS, "threshold")}

    @property
    def gates(self) -> frozenset[str]:
        return frozenset({"threshold"})

    def trained(self, params: Mapping[str, Any]) -> set[str]:
        return {block for block in BLOCKS if params[block] > params["threshold"]}

    def active(self, params: Mapping[str, Any]) -> set[str]:
        return self.trained(params) | self.gates

    def valid(self, params: Mapping[str, Any]) -> bool:
        return len(self.trained(params)) >= self.least


ENCODING = Threshold()


def search(n_trials: int, encoding: Threshold = ENCODING, **options: Any) -> optuna.Study:
    protocol: Encoding = encoding
    study = optuna.create_study(sampler=BioTuneSampler(seed=1, encoding=protocol, **options))

    def objective(trial: optuna.Trial) -> float:
        params = {name: trial.suggest_float(name, 0, 1) for name in encoding.search_space}
        if not encoding.valid(params):
            return 10.0
        return float(sum((params[block] - 0.8) ** 2 for block in BLOCKS))

    study.optimize(objective, n_trials=n_trials)
    return study


def facts(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return dict(trial_record(trial)["facts"])


def test_immigrants_are_valid() -> None:
    encoding = Threshold(least=4)  # every fifth point of the cube
    study = search(120, encoding)
    immigrants = [t.params for t in study.trials if facts(t)["kind"] == "immigrant"]
    assert len(immigrants) > 10, "later ones, too"
    assert all(encoding.valid(params) for params in immigrants)


def test_probes_move_the_gene_of_a_trained_block_and_never_the_threshold() -> None:
    trials = search(140).trials
    probes = [trial for trial in trials if facts(trial)["kind"] == "probe"]
    assert len(probes) == 60
    for trial in probes:
        elite = trials[facts(trial)["of"]].params
        gene = facts(trial)["gene"]
        assert elite[gene] > elite["threshold"] and gene in BLOCKS
        assert {k for k, v in trial.params.items() if v != elite[k]} <= {gene}
        assert abs(trial.params[gene] - elite[gene]) <= 0.25


@pytest.mark.parametrize("reproduction", ["sequential", "batched"])
def test_first_children_lie_in_the_hull_of_their_parents_and_prototype(reproduction: str) -> None:
    trials = search(23, reproduction=reproduction).trials
    points = np.array([[t.params[name] for name in sorted(t.params)] for t in trials])
    children = [trial for trial in trials if facts(trial)["kind"] == "child"]
    assert len(children) >= 4 and min(trial.number for trial in children) == 16
    for trial in children:
        corners = points[[*facts(trial)["parents"], facts(trial)["prototype"]]]
        point = points[trial.number]
        assert (point >= corners.min(0) - 1e-12).all()
        assert (point <= corners.max(0) + 1e-12).all()


def test_later_children_leave_the_hull() -> None:
    trials = search(140).trials
    points = np.array([[t.params[name] for name in sorted(t.params)] for t in trials])
    outside = set()
    for trial in trials:
        if facts(trial)["kind"] == "child":
            corners = points[[*facts(trial)["parents"], facts(trial)["prototype"]]]
            point = points[trial.number]
            if (point < corners.min(0)).any() or (point > corners.max(0)).any():
                outside.add(trial.number)
    assert outside and min(outside) >= 23, "mutation has an amplitude from generation 1 on"


def test_elites_are_evaluated_again_in_each_generation_but_the_first() -> None:
    trials = search(10 + 13 + 16 * 3, reevaluate_elites=True).trials
    again = [trial for trial in trials if facts(trial)["kind"] == "elite"]
    assert [trial.number for trial in again] == [
        first + i for first in (23, 39, 55) for i in range(3)
    ]
    for trial in again:
        assert trial.params == trials[facts(trial)["of"]].params


def test_search_space_may_hold_more_than_the_encoding() -> None:
    space = {**ENCODING.search_space, "decay": FloatDistribution(1e-6, 1e-2, log=True)}
    sampler = BioTuneSampler(seed=1, encoding=ENCODING, search_space=space)
    study = optuna.create_study(sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        total = sum(trial.suggest_float(name, 0, 1) for name in ENCODING.search_space)
        return total + trial.suggest_float("decay", 1e-6, 1e-2, log=True)

    study.optimize(objective, n_trials=75)
    assert_rederives(study, BioTuneSampler(seed=1, encoding=ENCODING, search_space=space))
    probed = {facts(t)["gene"] for t in study.trials if facts(t)["kind"] == "probe"}
    assert "decay" in probed and "threshold" not in probed


def test_conditional_parameters_that_a_trial_did_not_suggest_keep_the_model() -> None:
    """A rate that is only asked for where its block is trained."""
    study = optuna.create_study(sampler=BioTuneSampler(seed=2, population=5, elites=2))

    def objective(trial: optuna.Trial) -> float:
        outcome = 0.0
        for block in BLOCKS[:3]:
            if trial.suggest_categorical(f"train {block}", [False, True]):
                outcome += (trial.suggest_float(f"rate {block}", 0, 1) - 0.5) ** 2 - 0.1
        return outcome

    study.optimize(objective, n_trials=60)
    assert assert_rederives(study, BioTuneSampler(seed=2, population=5, elites=2)) > 200
    assert all(np.isfinite(list(trial.params.values())).all() for trial in study.trials)


def test_parameters_beside_the_encodings_are_learned_as_well() -> None:
    study = optuna.create_study(sampler=BioTuneSampler(seed=1, encoding=ENCODING))

    def objective(trial: optuna.Trial) -> float:
        for name in ENCODING.search_space:
            trial.suggest_float(name, 0, 1)
        return (trial.suggest_float("momentum", 0, 1) - 0.9) ** 2

    study.optimize(objective, n_trials=60)
    assert "momentum" not in trial_record(study.trials[9])["genes"]
    assert all("momentum" in trial_record(trial)["genes"] for trial in study.trials[10:])
    late = [trial.params["momentum"] for trial in study.trials[-20:]]
    assert abs(np.mean(late) - 0.9) < 0.1
    assert_rederives(study, BioTuneSampler(encoding=ENCODING))

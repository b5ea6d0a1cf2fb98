"""Drawing every parameter of a study again from what its trials stored."""

from __future__ import annotations

import optuna

from optuna_layerwise.samplers._cohort import CohortSampler
from optuna_layerwise.storage import trial_record


def assert_rederives(study: optuna.Study, sampler: CohortSampler) -> int:
    """With a fresh sampler, all draws and facts are those stored; returns how many it compared."""
    compared = 0
    for trial in study.get_trials():
        record = trial_record(trial)
        if not sampler._is_ours(record):
            continue  # added, or another sampler's
        space = sampler.infer_relative_search_space(study, trial)
        relative = sampler.sample_relative(study, trial, space)
        for name, distribution in trial.distributions.items():
            if name in trial.system_attrs.get("fixed_params", {}) or distribution.single():
                continue
            value = relative.get(name)
            if name not in relative or not distribution._contains(
                distribution.to_internal_repr(value)
            ):
                value = sampler.sample_independent(study, trial, name, distribution)
            where = f"{name} of trial {trial.number}, drawn from {record['base']}"
            assert value == trial.params[name], where
            compared += 1
        replay = sampler._up_to_date(study)
        draw = sampler._draw(replay, trial.number, record)
        assert draw.facts == record["facts"]
        assert draw.genes.tolist() == list(record["genes"].values())
    return compared

"""Drawing every parameter of a study again from what its trials stored."""

from __future__ import annotations

import optuna

from optuna_layerwise.samplers import rederive
from optuna_layerwise.samplers._cohort import CohortSampler


def assert_rederives(study: optuna.Study, sampler: CohortSampler) -> int:
    """All draws and facts are those stored; returns how many parameters were compared."""
    found = rederive(study, sampler)
    assert not found.skipped
    assert not found.differences, found.cause
    return found.genes

"""Many workers on one study: each trial is of one cohort, and cohorts are told whole."""

from __future__ import annotations

from datetime import timedelta

import lives
import pytest
from databases import close, url
from optuna.trial import TrialState
from rederiving import assert_rederives

from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.storage import all_trials, trial_record
from optuna_layerwise.studies import open_study, work

__all__ = ["url"]
POPULATION, TRIALS, WORKERS = 6, 36, 4


def sampler() -> BioTuneSampler:
    return BioTuneSampler(seed=0, population=POPULATION, elites=2)


def labour(url: str) -> None:
    """Trials are the slower, the larger their parameters."""
    study = open_study(url, study_name="s", sampler=sampler())
    assert work(study, lives.quick, n_finished=TRIALS)


@pytest.mark.sweep(url="sqlite")
@pytest.mark.parametrize("url", ["sqlite", "journal", "postgresql", "mysql"], indirect=True)
def test_no_finished_trial_is_outside_a_cohort_and_no_update_is_from_half_of_one(
    url: str, start: lives.Start
) -> None:
    study = open_study(url, study_name="s", sampler=sampler())
    study.enqueue_trial({"x": 0.5})
    workers = [start(labour, url) for _ in range(WORKERS)]
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * WORKERS
    trials = all_trials(study)
    assert [t.number for t in trials] == list(range(TRIALS))
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    assert assert_rederives(study, sampler()) > 0

    second = timedelta(seconds=1)  # MariaDB stores no parts of one
    for trial in trials:
        record = trial_record(trial)
        assert trial.datetime_start is not None
        for member in trials[: record["end"]]:
            told = member.number not in record["missing"]
            assert member.datetime_complete is not None
            assert not told or member.datetime_complete < trial.datetime_start + second
    replay = sampler()._up_to_date(study)
    newest = replay.before(TRIALS)
    cohort, _ = replay.locate(TRIALS - 1)
    assert newest.base >= cohort, "all cohorts but the open one are told"
    assert len(newest.missing) <= TRIALS // 10, "few were too slow for their cohort"
    close(study._storage)

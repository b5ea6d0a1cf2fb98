"""The option ``--budget`` of ``tune`` and ``resume``."""

from __future__ import annotations

import json
import re

import pytest
from commands import Cli, load

from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.records.final import stored_final

TUNE = ("tune", "--epochs", "1", "--threads", "1")


@pytest.mark.slow
def test_tune_plans_a_budget_keeps_to_it_and_says_so_and_resume_raises_it(cli: Cli) -> None:
    code, out, err = cli(*TUNE, "--budget", "20trainings")
    assert code == 0, err
    planned = "planned for the budget of 20 trainings: about 10 trials; at the end 1 finalist"
    assert out.index(planned) < out.index("trial 0:")
    [spent] = re.findall(r"spent of the budget of 20 trainings: (\d+)%, 50% in the search", out)
    assert 90 <= int(spent) <= 110
    study = load("digits")
    assert len(study.trials) == 10
    assert stored_final(study) is not None
    assert json.loads(cli("status", "--study", "digits", "--json")[1])["target"] is None
    code, out, err = cli("resume", "--study", "digits", "--budget", "24trainings", "--no-finalize")
    assert code == 0, err
    assert len(load("digits").trials) == 14
    assert Settings.from_study(load("digits")).budget == "24trainings"


def test_too_small_a_budget_makes_no_study(cli: Cli) -> None:
    code, _, err = cli(*TUNE, "--budget", "2trainings")
    assert code == 2
    assert err.startswith("error: --budget is too small")
    assert cli("status", "--study", "digits")[0] == 2
    code, _, err = cli(*TUNE, "--budget", "half an hour")
    assert code == 2
    assert err.startswith("error: --budget must be a number above 0")

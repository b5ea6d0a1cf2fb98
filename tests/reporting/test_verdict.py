"""The one sentence about a result: what to use, how much better it is, how sure that is."""

from __future__ import annotations

import dataclasses

import pytest

from optuna_layerwise.records.final import Candidate, Delivered, Estimate, Final, Member
from optuna_layerwise.reporting.verdict import cost_words, promise_words, verdict

PROBE = Candidate("probe", {"head": 1.0}, 0.1, [{"accuracy": 0.7}], [{"accuracy": 0.9}], 1, 1.0)
FULL = dataclasses.replace(PROBE, name="full", val=[{"accuracy": 0.8}], test=[{"accuracy": 0.6}])
FOUND = dataclasses.replace(FULL, name="trial 3", val=[{"accuracy": 0.9}])


def a_result(
    lead: tuple[float, float, float], names: tuple[str, ...] = ("trial 3",), **more: Candidate
) -> Final:
    members = [Member(n, {"head": 1.0}, {}, i, 1 / len(names)) for i, n in enumerate(names)]
    given = Delivered(
        members=members,
        folds=5,
        refit=True,
        held_out={"accuracy": 0.85},
        other={},
        promised=Estimate(0.84, 0.8, 0.88),
        test={"accuracy": 0.82},
        leads={"full": Estimate(*lead), "probe": Estimate(-1.0, -1.0, -1.0)},
        flops=2.5,
        flops_of_one=1.0,
    )
    chosen = more.get("chosen", FOUND)
    return Final("accuracy", chosen, [chosen], [FULL, PROBE], delivered=given)


@pytest.mark.parametrize(
    ("lead", "said"),
    [
        ((0.05, 0.01, 0.09), "0.050 better than full, which validated best without a search (95 % "
         "interval +0.010 to +0.090, more than chance)"),
        ((0.05, -0.01, 0.11), "0.050 better than full"),
        ((-0.05, -0.09, -0.01), "0.050 worse than full"),
        ((0.0001, -0.01, 0.01), "level with full"),
        ((0.01, 0.0004, 0.02), "(95 % interval +0.000 to +0.020, which may be chance)"),
        ((0.0, 0.0, 0.0), "level with full, which validated best without a search."),
    ],
)  # fmt: skip
def test_what_validated_best_is_the_rival_whatever_the_test_says(
    lead: tuple[float, float, float], said: str
) -> None:
    text = verdict(a_result(lead))
    assert text.startswith("Use trial 3: test accuracy 0.820, ")
    assert said in text
    assert ("more than chance" in text) is (lead[1] > 0.001 or lead[2] < 0)


def test_a_team_is_named_and_its_cost_told() -> None:
    final = a_result((0.1, 0.0, 0.2), ("trial 3", "trial 3", "full"))
    assert "Use a team of 3 networks (2 of trial 3, full): " in verdict(final)
    assert "costs 2.5 times the operations" in cost_words(final.delivered)
    assert promise_words(final).endswith("by 5 folds: accuracy 0.840 (0.800 to 0.880).")


def test_a_baseline_that_won_is_no_better_than_itself() -> None:
    final = a_result((0.0, 0.0, 0.0), ("full",), chosen=FULL)
    assert verdict(final).endswith("No policy that was searched validated better.")
    assert cost_words(final.delivered) == ""


def test_a_result_of_an_older_release_is_the_mean_of_its_trainings() -> None:
    older = dataclasses.replace(a_result((0.1, 0.0, 0.2)), delivered=None)
    assert verdict(older) == (
        "Use trial 3: on the test split it reaches accuracy 0.600, 0.300 worse than the best of "
        "the baselines, probe (0.900)."
    )
    assert promise_words(older) == cost_words(older.delivered) == ""

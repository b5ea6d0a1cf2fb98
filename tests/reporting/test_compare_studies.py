"""Comparisons of real studies: who is compared with whom, at which budget, and what is said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from optuna_layerwise.analysis.comparison import compare
from optuna_layerwise.analysis.curves import curve
from optuna_layerwise.analysis.replicates import grouped
from optuna_layerwise.storage import RUN_KEY, SETTINGS_KEY

START = datetime(2026, 1, 1)


def study_of(
    name: str,
    values: Sequence[float | None],
    *,
    images: Sequence[int] | None = None,
    seconds: float = 1.0,
    settings: Mapping[str, Any] | None = None,
    direction: str = "maximize",
) -> optuna.Study:
    """A study of trials that ended one after the other; ``None`` failed."""
    study = optuna.create_study(study_name=name, direction=direction)
    for i, value in enumerate(values):
        run = {} if images is None else {RUN_KEY: {"images_seen": images[i], "seconds": seconds}}
        trial = create_trial(
            state=TrialState.FAIL if value is None else TrialState.COMPLETE,
            value=value,
            user_attrs=run,
        )
        trial.datetime_start = START + timedelta(seconds=10 * i)
        trial.datetime_complete = START + timedelta(seconds=10 * i + 3)
        study.add_trial(trial)
    if settings is not None:
        study.set_user_attr(SETTINGS_KEY, json.dumps(settings))
    return study


def settings_of(**changes: Any) -> dict[str, Any]:
    base = {"sampler": "biotune", "encoding": "biotune", "data": "/x/leaves", "seed": 0}
    return {**base, "split_seed": 0, "recipe": {"lr": 0.001, "metric": "accuracy"}, **changes}


def places(*studies: optuna.Study, **options: Any) -> dict[str, tuple[str, str]]:
    return {m.study: (m.group, m.block) for m in grouped(studies, **options)}


def test_settings_equal_but_for_seeds_are_one_group() -> None:
    found = places(
        study_of("a", [1], settings=settings_of(seed=0)),
        study_of("b", [1], settings=settings_of(seed=1, output="/elsewhere", live=False)),
        study_of("c", [1], settings=settings_of(seed=0, sampler="tpe")),
    )
    assert found == {
        "a": ("biotune", "leaves, split 0, seed 0"),
        "b": ("biotune", "leaves, split 0, seed 1"),
        "c": ("tpe", "leaves, split 0, seed 0"),
    }


def test_nonsense_settings_are_a_group_of_their_own() -> None:
    nonsense = settings_of(seeds=7, recipe="none", data=5, seed=[1])
    studies = study_of("a", [1], settings=settings_of()), study_of("b", [1], settings=nonsense)
    found = places(*studies)
    assert found["a"][0] != found["b"][0]


def test_groups_are_named_by_the_settings_that_differ() -> None:
    recipe = {"lr": 0.1, "metric": "accuracy"}
    found = places(
        study_of("a", [1], settings=settings_of()),
        study_of("b", [1], settings=settings_of(sampler="tpe", recipe=recipe)),
    )
    assert [group for group, _ in found.values()] == [
        "biotune, recipe.lr=0.001",
        "tpe, recipe.lr=0.1",
    ]


def test_a_study_older_than_baselines_and_methods_is_in_the_group_of_one_of_today() -> None:
    now = settings_of(seed=1, baseline=None, pruner="generation", prune=False)
    now["recipe"] = {**now["recipe"], "method": None}
    found = places(study_of("a", [1], settings=settings_of()), study_of("b", [1], settings=now))
    assert {group for group, _ in found.values()} == {"biotune, biotune"}


def test_a_baseline_is_named_in_the_place_of_an_encoding() -> None:
    found = places(
        study_of("a", [1], settings=settings_of(sampler="tpe", baseline="lora")),
        study_of("b", [1], settings=settings_of(sampler="tpe", baseline=None)),
    )
    assert [group for group, _ in found.values()] == ["lora", "biotune"]


def test_one_method_is_named_by_its_sampler_and_encoding() -> None:
    assert places(study_of("a", [1], settings=settings_of()))["a"][0] == "biotune, biotune"


def test_studies_without_settings_are_grouped_by_name() -> None:
    names = ["tpe-0", "tpe-1", "cma_seed0", "cma_seed1", "ours-0", "other", "2024"]
    assert places(*(study_of(name, [1]) for name in names)) == {
        "tpe-0": ("tpe", "0"),
        "tpe-1": ("tpe", "1"),
        "cma_seed0": ("cma", "0"),
        "cma_seed1": ("cma", "1"),
        "ours-0": ("ours", "0"),
        "other": ("other", ""),
        "2024": ("2024", ""),
    }


def test_patterns_group_and_what_the_star_stands_for_pairs() -> None:
    studies = [study_of(name, [1]) for name in ("leaves-bt-0", "leaves-bt-x", "l-tpe-0")]
    patterns = {"ours": "leaves-bt-*", "theirs": "l-tpe-*"}
    assert places(*studies, patterns=patterns) == {
        "leaves-bt-0": ("ours", "0"),
        "leaves-bt-x": ("ours", "x"),
        "l-tpe-0": ("theirs", "0"),
    }
    with pytest.raises(ValueError, match="'l-tpe-0' must match one group, but matches none"):
        places(*studies, patterns={"ours": "leaves-*"})
    with pytest.raises(ValueError, match=r"group none=zzz\* has no study"):
        places(*studies, patterns={**patterns, "none": "zzz*"})


def test_a_method_that_ran_twice_on_one_block_has_two() -> None:
    found = places(*(study_of(name, [1], settings=settings_of()) for name in "ab"))
    assert len(set(found.values())) == 2


def test_other_images_are_another_block_whatever_their_folder_is_called() -> None:
    found = places(
        study_of("a", [1], settings=settings_of(data_fingerprint="aaaaaaaa")),
        study_of("b", [1], settings=settings_of(data_fingerprint="bbbbbbbb", sampler="tpe")),
    )
    assert found["a"][1] != found["b"][1]


def test_the_best_after_a_budget_is_of_the_trials_that_ended_within_it() -> None:
    found = curve(study_of("a", [0.5, None, 0.4, 0.9], images=[10, 5, 10, 10], seconds=2.0))
    assert found.spent == {
        "trials": (1, 2, 3, 4),
        "images": (10, 15, 25, 35),
        "seconds": (2, 4, 6, 8),
    }
    assert found.best("images", 34.9) == 0.5
    assert found.best("images", 35) == 0.9
    assert found.best("trials", 0.5) is None
    assert found.total("seconds") == 8


def test_seconds_of_plain_studies_are_from_start_to_end() -> None:
    found = curve(study_of("a", [1.0, 2.0]))
    assert found.spent == {"trials": (1, 2), "seconds": (3, 6)}


def test_infeasible_and_infinite_values_are_no_best() -> None:
    study = optuna.create_study(direction="maximize")
    for value in (9.0, float("inf"), 1.0):
        trial = study.ask()
        broken = [1.0 if value == 9.0 else -1.0]
        study._storage.set_trial_system_attr(trial._trial_id, "constraints", broken)
        study.tell(trial, value)
    assert curve(study).best("trials", 3) == 1.0


def test_studies_are_compared_at_what_the_shortest_has_spent() -> None:
    found = compare(
        [
            study_of("a-0", [0.1, 0.2, 0.9], images=[1, 1, 1]),
            study_of("b-0", [0.3, 0.4], images=[2, 2]),
        ]
    )
    by_axis = {outcome.axis: outcome for outcome in found.outcomes}
    assert by_axis["trials"].budget == 2
    assert by_axis["trials"].values == {"a": {"0": 0.2}, "b": {"0": 0.4}}
    assert by_axis["images"].budget == 3
    assert by_axis["images"].values == {"a": {"0": 0.9}, "b": {"0": 0.3}}
    assert by_axis["seconds"].budget == 2
    assert by_axis["trials"].contests[0].result.difference.mean == pytest.approx(-0.2)


def test_a_given_budget_is_taken() -> None:
    studies = [study_of("a-0", [0.1, 0.2, 0.9]), study_of("b-0", [0.3, 0.4])]
    [trials, _] = compare(studies, budgets={"trials": 1}).outcomes
    assert trials.values == {"a": {"0": 0.1}, "b": {"0": 0.3}}
    with pytest.raises(ValueError, match=r"budgets are of \['trials', 'images', 'seconds'\]"):
        compare(studies, budgets={"days": 1})  # type: ignore[dict-item]


def test_lower_is_better_where_the_studies_minimize() -> None:
    studies = [
        study_of(f"{group}-{i}", [base + i / 10], direction="minimize")
        for group, base in (("good", 1.0), ("bad", 2.0))
        for i in range(6)
    ]
    [contest] = compare(studies).outcomes[0].contests
    assert (contest.first, contest.result.wins, contest.result.effect) == ("good", 6, 1.0)
    assert contest.result.p == pytest.approx(2 / 64)


def test_three_groups_are_ranked_and_the_pairs_adjusted() -> None:
    studies = [
        study_of(f"{group}-{i}", [base + i / 10])
        for group, base in (("a", 1.0), ("b", 2.0), ("c", 3.0))
        for i in range(6)
    ]
    trials = compare(studies).outcomes[0]
    assert trials.ranking is not None
    assert dict(zip(trials.ranked, trials.ranking.mean_ranks, strict=True)) == {
        "a": 3.0,
        "b": 2.0,
        "c": 1.0,
    }
    assert [c.p_adjusted for c in trials.contests] == pytest.approx([6 / 64] * 3)


def said(*studies: optuna.Study) -> str:
    return "\n".join(compare(studies).notes)


def test_what_limits_the_comparison_is_said() -> None:
    one, other = study_of("a-0", [1.0], images=[1]), study_of("b-1", [1.0])
    words = said(one, other)
    assert "A group has 1 study" in words
    assert "2 of 2 studies have no partner" in words
    assert "No comparison at equal images: b-1 did not record them" in words
    many = [study_of(f"{g}-{i}", [1.0]) for g in "ab" for i in range(4)]
    assert "no signed-rank test can reach 5 %" in said(*many)
    assert "No trial is complete in c-0." in said(one, study_of("c-0", [None]))
    late = study_of("d-0", [None, 0.5])
    assert "There is no best validation value after 1 trials in d-0." in said(one, late)
    sets = [study_of(d, [1.0], settings=settings_of(data=d)) for d in ("x", "y")]
    assert "There are several data sets." in said(*sets)


def test_a_budget_that_a_study_has_not_spent_is_said() -> None:
    short, long = study_of("a-0", [0.5, 0.6]), study_of("b-0", [0.5, 0.6, 0.7])
    words = "\n".join(compare([short, long], budgets={"trials": 3}).notes)
    assert "Not all have spent 3 trials: a-0 ended before" in words
    assert "Not all have spent" not in said(short, long)


def test_enough_paired_seeds_need_no_words() -> None:
    many = [study_of(f"{g}-{i}", [1.0], images=[5]) for g in "ab" for i in range(6)]
    assert said(*many) == ""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: [], "no study to compare"),
        (lambda: [study_of("a", [1])] * 2, r"given once, got \['a'\]"),
        (lambda: [study_of("a", [1]), study_of("b", [1], direction="minimize")], "some minimize"),
        (
            lambda: [
                study_of("a", [1], settings=settings_of()),
                study_of("b", [1], settings=settings_of(recipe={"metric": "auc"})),
            ],
            r"different metrics, \['accuracy', 'auc'\]",
        ),
        (
            lambda: [optuna.create_study(directions=["maximize", "minimize"])],
            "has 2 objectives",
        ),
    ],
)
def test_studies_that_cannot_be_compared_are_refused(
    make: Callable[[], list[optuna.Study]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        compare(make())


def test_a_comparison_is_plain_data() -> None:
    found = compare([study_of(f"{g}-{i}", [1.0, 0.5]) for g in "abc" for i in range(3)])
    content = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert content["outcomes"][0]["summaries"]["a"]["n"] == 3
    assert content["rule"].startswith("Trials count in the order in which they ended")
    assert content == json.loads(json.dumps(dataclasses.asdict(found)))


def test_studies_without_a_complete_trial_compare_to_nothing() -> None:
    found = compare([study_of("a", []), study_of("b", [None])])
    assert found.outcomes == []
    assert "No trial is complete in a, b." in found.notes

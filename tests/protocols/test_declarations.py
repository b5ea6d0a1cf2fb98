"""What is declared can be run, and is what the papers and `tune` have."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.protocols import TABLES, Arm, Experiment, Table
from benchmarks.protocols.comparison import REFERENCE
from benchmarks.protocols.table import VALUES
from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.encodings import ENCODINGS
from optuna_layerwise.experiments import presets
from optuna_layerwise.samplers import SAMPLERS

EACH = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
PAPERS = {f"{paper}-table{n}" for paper in ("biotune", "revo") for n in (1, 2, 3)}


def test_there_is_every_table_of_both_papers_and_our_own() -> None:
    assert set(TABLES) == {*PAPERS, "methods"}


@EACH
def test_each_scale_has_cells_of_its_own_with_names_of_their_own(table: Table) -> None:
    own = {"long"} if table.name == "methods" else set()
    assert set(table.experiments) == set(table.differences) == {"full", "small", "digits"} | own
    studies = [cell.study for e in table.experiments.values() for cell in e.cells()]
    assert len(studies) == len(set(studies))
    for experiment in table.experiments.values():
        arms = experiment.arms.values()
        assert {arm.encoding for arm in arms} <= {"", *ENCODINGS}
        assert {arm.baseline for arm in arms} <= {None, *BASELINES}
        assert {arm.sampler for arm in arms} <= {"tpe", "random", *SAMPLERS}
        assert set(table.values) <= set(VALUES)


@pytest.mark.sweep(3)
@EACH
def test_the_papers_numbers_are_of_cells_that_the_full_scale_has(table: Table) -> None:
    cells = table.experiments["full"].cells()
    known = {
        (c.arm, c.network, c.data, c.fraction, value) for c in cells for value in table.values
    }
    assert set(table.published) <= known


def test_a_run_is_complete_before_the_next_one_begins() -> None:
    runs = [cell.run for cell in TABLES["methods"].experiments["small"].cells()]
    assert runs == sorted(runs) and set(runs) == {0, 1, 2}


@pytest.mark.parametrize(("scale", "random"), [("full", 20), ("small", 4)])
def test_tpe_with_successive_halving_begins_with_a_fifth_of_its_trials_at_random(
    scale: str, random: int
) -> None:
    arm = TABLES["revo-table1"].experiments[scale].arms["halving"]
    assert arm.prune and arm.pruner == "halving" and arm.sampler == "tpe"
    assert arm.sampler_options == {"n_startup_trials": random, "multivariate": False}
    same_trials = TABLES["revo-table1"].experiments[scale].arms["halving-trials"]
    assert (same_trials.trials, same_trials.work) == (5 * random, None)
    assert arm.work == 5 * random and arm.trials > arm.work, "in its place"


@pytest.mark.parametrize(
    ("table", "arm", "preset"),
    [
        ("biotune-table1", "biotune", presets.biotune("biotune", None, "dtd", 0)),
        ("biotune-table3", "search-50", presets.biotune("biotune", None, "dtd", 0)),
        ("revo-table1", "revo-binary", presets.revo("catcmawm", "binary", "busi", 0)),
        (
            "revo-table3",
            "revo-continuous",
            presets.revo("catcmawm", "continuous-multiplier", "busi", 0),
        ),
        ("revo-table1", "set", presets.revo("set-ga", "set", "busi", 0)),
    ],
)
def test_a_papers_method_is_run_as_tune_would_with_its_preset(
    table: str, arm: str, preset: dict[str, object]
) -> None:
    declared = TABLES[table].experiments["full"].arms[arm]
    of_experiments = ("paper_split", "train_fraction")
    own = {name: getattr(declared, name) for name in preset if name not in of_experiments}
    assert own == {name: preset[name] for name in own}


def test_the_long_searches_have_five_times_the_work_on_the_splits_of_the_short_ones() -> None:
    small, long = (TABLES["methods"].experiments[scale] for scale in ("small", "long"))
    for name, arm in long.arms.items():
        own = dataclasses.asdict(small.arms[name])
        more = {"work": 5 * own["work"], "trials": 5 * own["trials"]}
        assert dataclasses.asdict(arm) == own | more
    more = {"name": long.name, "arms": long.arms, "fractions": long.fractions}
    assert long == dataclasses.replace(small, **more)


@pytest.mark.parametrize("scale", ["small", "full"])
def test_at_least_fourteen_methods_have_the_same_work_and_recipe(scale: str) -> None:
    arms = TABLES["methods"].experiments[scale].arms
    equal = {name: arm for name, arm in arms.items() if arm.work is not None}
    assert len(equal) >= 14 and REFERENCE in equal
    assert set(arms) - set(equal) == {"halving-trials"}
    shared = ("recipe", "work", "trials", "finalists", "final_seeds", "seeds", "granularity")
    assert len({tuple(getattr(arm, name) for name in shared) for arm in equal.values()}) == 1
    assert arms["halving-trials"].trials == equal["halving"].work


def test_both_encoding_and_baseline_or_neither_is_refused() -> None:
    with pytest.raises(ValueError, match="must have an encoding or a baseline"):
        Arm(title="neither")
    with pytest.raises(ValueError, match="must have an encoding or a baseline"):
        Arm(title="both", encoding="set", baseline="full")


def test_an_experiment_on_digits_needs_no_file() -> None:
    rehearsal: Experiment = TABLES["revo-table3"].experiments["digits"]
    assert rehearsal.networks == ("digits_cnn",) and rehearsal.sets == ("digits",)

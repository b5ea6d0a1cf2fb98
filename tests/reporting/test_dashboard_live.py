from __future__ import annotations

import json
import re
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from made_up import EVIL, DigitsStudy, made_up_study
from optuna.trial import create_trial
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from optuna_dashboard._note import get_note, get_note_from_system_attrs

from optuna_layerwise.reporting import dashboard
from optuna_layerwise.reporting.dashboard import HEIGHT, LiveDashboard, write_page
from optuna_layerwise.storage import open_storage
from optuna_layerwise.storage.dashboard_attributes import (
    ROW_BYTES,
    claim_page,
    note,
    save_figure,
    save_note,
)

IDS = {"layer-plan", "block-importance", "best-so-far"}


def attributes(study: optuna.Study) -> dict[str, object]:
    return study._storage.get_study_system_attrs(study._study_id)


def page(study: optuna.Study) -> dict[str, dict[str, object]]:
    """The figures as optuna-dashboard reads them."""
    figures = get_plotly_graph_objects(attributes(study))
    return {name: json.loads(text) for name, text in figures.items()}


def x(trial: optuna.Trial) -> float:
    return trial.suggest_float("lr/stem", 0, 1) + trial.suggest_float("lr/head", 0, 1)


@pytest.mark.slow
def test_a_real_search_leaves_three_figures_and_two_notes(digits_study: DigitsStudy) -> None:
    study = digits_study.study
    figures = page(study)
    assert set(figures) == IDS
    assert all(figure["data"] for figure in figures.values())
    assert {figure["layout"]["height"] for figure in figures.values()} == {HEIGHT}
    text = get_note(study)
    assert "16 trials finished" in text
    assert f"trial {study.best_trial.number}" in text
    assert "BioTuneSampler" in text
    assert f"optuna {optuna.__version__}" in text.replace("\\", "")
    of_best = get_note_from_system_attrs(attributes(study), study.best_trial._trial_id)["body"]
    assert "The best trial so far" in of_best
    assert "head" in of_best


@pytest.mark.slow
@pytest.mark.parametrize("n_trials, n_blocks", [(300, 160), (600, 5), (0, 1), (3, 2)])
def test_all_of_a_page_is_under_200_kilobytes(n_trials: int, n_blocks: int) -> None:
    study = made_up_study(n_trials, n_blocks, name=EVIL, block=EVIL)
    assert write_page(study, resume=EVIL)
    sizes = {k: len(json.dumps(v)) for k, v in attributes(study).items()}
    assert sum(sizes.values()) < 200_000
    assert max(sizes.values()) <= ROW_BYTES
    assert set(page(study)) == IDS


def test_the_note_of_a_trial_that_is_no_longer_the_best_goes() -> None:
    study = optuna.create_study(direction="maximize")
    study.add_trial(create_trial(value=0.1))
    write_page(study)
    assert note(study, study.trials[0])
    study.add_trial(create_trial(value=0.2))
    write_page(study)
    assert not note(study, study.trials[0])
    assert "0.2" in note(study, study.trials[1])


def test_a_note_that_somebody_has_edited_stays() -> None:
    study = optuna.create_study()
    study.optimize(x, 2)
    write_page(study)
    save_note(study, note(study), "my own words")
    study.optimize(x, 1)
    assert write_page(study)
    assert get_note(study) == "my own words"


def test_figures_of_the_dashboards_own_function_are_replaced_as_a_whole() -> None:
    import optuna_dashboard
    import plotly.graph_objects as go

    study = optuna.create_study()
    long = go.Figure(go.Scatter(y=list(range(2_000))))
    optuna_dashboard.save_plotly_graph_object(study, long, graph_object_id="best-so-far")
    study.optimize(x, 2)
    write_page(study)
    assert page(study)["best-so-far"]["layout"]["height"] == HEIGHT


def test_a_figure_that_fits_into_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 60000 bytes"):
        save_figure(optuna.create_study(), "layer-plan", "x" * ROW_BYTES)


def test_names_are_shown_in_notes_as_they_are() -> None:
    study = made_up_study(20, 3, name=EVIL, block=EVIL)
    write_page(study, resume=f"command {EVIL}")
    before_code = note(study).split("To go on:")[0]
    for text in (before_code, note(study, study.best_trial)):
        assert not re.search(r"(?<!\\)[<\[`]", text)
        assert "**bold" not in text
    assert "\\<script\\>" in before_code


def test_the_callback_writes_after_the_first_trial_and_at_the_end(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/live.db")
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler())
    seen = []

    def look(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        live._thread.join()
        state = attributes(study)["olw:dashboard"]
        seen.append(state["finished"])

    with LiveDashboard(every=4) as live:
        study.optimize(x, n_trials=11, callbacks=[live, look])
    assert seen[0] == 1
    assert attributes(study)["olw:dashboard"]["finished"] == 11


def test_of_several_workers_one_writes() -> None:
    study = optuna.create_study()
    study.optimize(x, 5)
    assert write_page(study, every=5)
    study.optimize(x, 3)
    assert not write_page(study, every=5)
    study.optimize(x, 2)
    assert write_page(study, every=5)


def test_of_two_that_write_a_page_at_once_neither_loses_the_others_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = optuna.create_study()
    study.optimize(x, 5)
    make = dashboard.study_note

    def made_while_others_write(*args: Any, **kwargs: Any) -> str:
        monkeypatch.undo()
        study.optimize(x, 5)
        assert write_page(study), "another worker, with more trials"
        return make(*args, **kwargs)

    monkeypatch.setattr(dashboard, "study_note", made_while_others_write)
    write_page(study)
    assert "10 trials finished" in note(study)
    study.optimize(x, 1)
    assert write_page(study)
    assert "11 trials finished" in note(study), "it is still known as ours"
    assert not save_note(study, "what it was before", "mine")
    assert not claim_page(study, 5, 12)


def test_an_error_becomes_one_warning_and_never_a_failed_trial(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/live.db")
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler())
    study.set_user_attr("olw:settings", json.dumps({"recipe": [], "trials": "many"}))
    save_note(study, note(study), "x")
    key = "dashboard:note_ver"
    storage.set_study_system_attr(study._study_id, key, "no number")
    study._storage.set_study_system_attr(study._study_id, "dashboard:note_str:0", "")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with LiveDashboard(every=1) as live:
            for _ in range(4):
                study.optimize(x, n_trials=1, callbacks=[live])
                live._due_at = 0.0
                live._thread.join()
    told = [w for w in caught if "optuna-dashboard" in str(w.message)]
    assert len(told) == 1
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 4


def test_writing_takes_a_small_share_of_the_time(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/live.db")
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler())
    writes = []
    with LiveDashboard(every=1) as live:
        original = live._write

        def counted(study: optuna.Study, *, last: bool = False) -> None:
            writes.append(threading.current_thread().name)
            original(study, last=last)

        live._write = counted
        until = time.monotonic() + 2
        while time.monotonic() < until:
            study.optimize(x, n_trials=1, callbacks=[live])
    assert writes[0] == "dashboard"
    assert len(writes) <= 4


def test_every_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="every must be at least 1"):
        LiveDashboard(every=0)

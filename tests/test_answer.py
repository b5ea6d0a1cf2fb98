"""Whatever shows a plan of a study shows the same one."""

from __future__ import annotations

import dataclasses
import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from databases import close
from optuna.storages import BaseStorage
from optuna.trial import create_trial
from report_studies import BLOCKS, a_result
from rich.console import Console
from rich.text import Text

from optuna_layerwise.analysis.comparison import compare
from optuna_layerwise.analysis.history import read
from optuna_layerwise.cli.progress import trial_line
from optuna_layerwise.cli.show import after_the_choice, comparison, result
from optuna_layerwise.cli.status import overview, view
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.experiments.status import take_snapshot
from optuna_layerwise.policy import Policy
from optuna_layerwise.records.answer import about_openings, readable_openings
from optuna_layerwise.records.final import (
    OPENED_KEY,
    Final,
    Opening,
    store_final,
    stored_final,
    times_opened,
)
from optuna_layerwise.records.run import Run
from optuna_layerwise.reporting.dashboard import write_page
from optuna_layerwise.reporting.dashboard_server import make_server
from optuna_layerwise.reporting.export import export
from optuna_layerwise.reporting.report import report
from optuna_layerwise.reporting.report_facts import facts
from optuna_layerwise.reporting.report_warnings import warnings_of
from optuna_layerwise.storage import FINAL_KEY, RUN_KEY, SETTINGS_KEY, TIE_KEY, open_storage
from optuna_layerwise.storage.dashboard_attributes import note
from optuna_layerwise.visualization.figures import best_plans, learning_curves

RATES = (0.11, 0.22, 0.33)
"""Of the head in trials 0, 1 and 2, whose values are equal."""
TIES = (0.5, 0.2, 0.4)


def tied(*, chosen: int | None, storage: BaseStorage | None = None) -> optuna.Study:
    """Optuna names the first of equal values, the search trial 1, and finalizing trial 2."""
    study = optuna.create_study(storage=storage, study_name="tied", direction="maximize")
    for rate, tie in zip(RATES, TIES, strict=True):
        run = Run({**dict.fromkeys(BLOCKS, 0.0), "head": rate}, 0, 0, 0.1)
        attributes = {RUN_KEY: run.as_json(), TIE_KEY: tie}
        study.add_trial(
            create_trial(value=0.8, user_attrs=attributes, intermediate_values={0: 0.8})
        )
    if chosen is not None:
        study.set_user_attr(FINAL_KEY, result_of(chosen).as_json())
    return study


def result_of(number: int) -> Final:
    result = a_result()
    policy = {**dict.fromkeys(BLOCKS, 0.0), "head": RATES[number]}
    named = dataclasses.replace(result.chosen, name=f"trial {number}", policy=policy)
    return dataclasses.replace(result, chosen=named, finalists=[named], trials=3)


def printed(*things: object) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    for thing in things:
        console.print(thing)
    return console.export_text()


def rates(text: str) -> set[float]:
    """Which of the three plans a text has."""
    return {rate for rate in RATES if f"{rate:.2f}" in text or f"{rate:.2e}" in text}


def places(study: optuna.Study, folder: Path) -> Iterator[tuple[str, str]]:
    """What shows the study's answer, each with what it shows."""
    write_page(study)
    yield "the study's note", note(study)
    yield "progress", view_of(study)
    yield "status", printed(overview([take_snapshot(study)]))
    yield "compare", printed(comparison([study]))
    found = report(study, format="html").partition("What was found")[2].partition("</section>")[0]
    yield "the report", found
    yield "markdown", report(study, format="md").partition("## What was found")[2][:900]
    yield "plans side by side", best_plans([read(study)]).to_json()


def view_of(study: optuna.Study) -> str:
    return printed(view(take_snapshot(study)))


@pytest.mark.sweep
@pytest.mark.parametrize("chosen", [None, 2, 0])
def test_every_place_shows_the_same_plan(chosen: int | None, tmp_path: Path) -> None:
    study = tied(chosen=chosen)
    expected = 1 if chosen is None else chosen
    assert study.best_trial.number == 0
    for place, text in places(study, tmp_path):
        others = [n for n in range(3) if n != expected]
        if place not in ("progress", "status", "compare", "plans side by side"):
            assert rates(text) == {RATES[expected]}, place
        if chosen is None or place not in ("the report", "markdown"):
            assert not [n for n in others if re.search(rf"trial {n}\b", text)], place
    assert take_snapshot(study).best == (0.8, expected)
    row = read(study).answer_row
    assert row is not None
    first_curve = learning_curves(read(study)).data
    assert f"trial {expected}" in [line.name for line in first_curve]
    noted = [trial.number for trial in study.trials if note(study, trial)]
    assert noted == [expected]
    assert rates(note(study, study.trials[expected])) == {RATES[expected]}


def test_export_writes_the_chosen_plan_and_the_card_shows_it(tmp_path: Path) -> None:
    study = tied(chosen=2)
    export(study, tmp_path)
    assert Policy.load(tmp_path / "policy.json")["head"] == RATES[2]
    assert rates((tmp_path / "README.md").read_text()) == {RATES[2]}


@pytest.mark.parametrize(("chosen", "expected"), [(None, 1), (2, 2)])
def test_the_dashboard_calls_the_answer_the_best_trial(
    chosen: int | None, expected: int, tmp_path: Path
) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db")
    study = tied(chosen=chosen, storage=storage)
    make_server(storage, port=0).server_close()
    assert storage.get_best_trial(study._study_id).number == expected
    close(storage)


def test_a_line_of_progress_names_the_best_trial_as_the_search_does() -> None:
    study = tied(chosen=None)
    assert trial_line(study, study.trials[0]).endswith("best 0.8000 (trial 1)")


def searched_on(*, again: bool) -> optuna.Study:
    """A study whose best trial came after trial 2 was chosen, and is chosen if asked again."""
    study = tied(chosen=2)
    study.set_user_attr(SETTINGS_KEY, Settings(data="leaves", model="resnet18").to_json())
    study.add_trial(study.trials[0])
    for number in (1, 2) if again else (1,):
        opening = Opening.now("trial 2", [2], [5], number, 3)
        study.set_user_attr(f"{OPENED_KEY}{number}", opening.as_json())
    if again:
        store_final(study, dataclasses.replace(result_of(0), number=2, trials=4))
    return study


def pages(study: optuna.Study, folder: Path) -> Iterator[tuple[str, str]]:
    """What shows a study's result, each with all of its text."""
    write_page(study)
    export(study, folder)
    yield "the note", note(study)
    for format in ("md", "html"):
        yield format, html.unescape(report(study, format=format))  # type: ignore[arg-type]
    yield "the card", (folder / "README.md").read_text()
    final, settings = stored_final(study), Settings(data="leaves", model="resnet18")
    assert final is not None
    yield "the command", printed(*result(study, final, settings), *later(study, final))


def later(study: optuna.Study, final: Final) -> list[Text]:
    return after_the_choice(study, final, "sqlite:///a.db")


def test_every_page_says_that_trials_came_after_the_choice_and_what_to_do(tmp_path: Path) -> None:
    study = searched_on(again=False)
    for place, text in pages(study, tmp_path):
        assert "1 trial finished after the choice" in text, place
        assert re.search(r"optuna\\?-layerwise finalize .*\\?-\\?-again", text), place
        assert "2 times" not in text and "untouched" not in text, place
    assert "finalized, 1 trial finished after the choice" in printed(
        overview([take_snapshot(study)])
    )


def test_every_page_says_that_the_test_of_a_later_result_is_not_untouched(tmp_path: Path) -> None:
    study = searched_on(again=True)
    for place, text in pages(study, tmp_path):
        assert "opened 2 times" in text, place
        assert "this is result 2 of the study" in text, place
        assert "no longer untouched" in text, place
        assert "opened once" not in text and "after the choice" not in text, place
    assert "finalized, test split opened 2 times" in printed(overview([take_snapshot(study)]))
    assert "finalized; chosen 0.8000 (trial 0), test split opened 2 times" in view_of(study)
    [line] = [note for note in compare([study]).notes if "had been opened before" in note]
    assert "the result of tied:" in line
    plan = json.loads((tmp_path / "policy.json").read_text())
    assert (plan["result"], plan["test_split_opened"]) == (2, 2)
    assert plan["policy"]["head"] == RATES[0]


def test_the_first_result_of_a_study_can_be_had_and_says_that_its_test_was_untouched(
    tmp_path: Path,
) -> None:
    study = searched_on(again=True)
    export(study, tmp_path, result=1)
    assert Policy.load(tmp_path / "policy.json")["head"] == RATES[2]
    card = (tmp_path / "README.md").read_text()
    assert "this is the first result of the study, and its test numbers are untouched" in card
    with pytest.raises(ValueError, match="no result 3: it has those from 1 to 2"):
        export(study, tmp_path, result=3)
    with pytest.raises(ValueError, match="give one of them"):
        export(study, tmp_path, result=1, trial=0)
    page = report(study, format="md").partition("All results of this study")[2]
    assert re.search(r"\| 1 \| trial 2 \| 3 \| .*\n\| 2 \| trial 0 \| 4 \|", page)


def test_a_late_best_trial_of_a_finalized_study_is_no_reason_to_search_on_only() -> None:
    for final, says in ((True, "which counts after `objective"), (False, "may find more.")):
        study = tied(chosen=2) if final else tied(chosen=None)
        study.add_trials([create_trial(value=0.1 + i / 100) for i in range(8)])
        study.add_trial(create_trial(value=0.9))
        [line] = [n for n in warnings_of(facts(study)) if "came late" in n]
        assert says in line


def test_a_later_result_is_never_shown_as_untouched_whatever_became_of_the_records() -> None:
    study = tied(chosen=2)
    study.set_user_attr(f"{OPENED_KEY}1", {"v": 1, "at": 5})  # cannot be read
    study.set_user_attr(f"{OPENED_KEY}3", Opening.now("trial 1", [1], [5], 2, 3).as_json())
    store_final(study, dataclasses.replace(result_of(1), number=2))
    opened, final = readable_openings(study), stored_final(study)
    assert final is not None and [one.result for one in opened] == [2]
    assert times_opened(final.number, opened) == times_opened(final.number, []) == 2
    for known in (opened, []):
        assert "no longer untouched" in about_openings(final, known)

"""What a reader must know before believing a report: little data, little search, odd trials."""

from __future__ import annotations

import math
from collections.abc import Iterator

from optuna_layerwise.analysis.statistics import binomial_margin
from optuna_layerwise.records.answer import about_openings, later_words
from optuna_layerwise.records.final import lost_opening
from optuna_layerwise.reporting.report_facts import NO_VALUE, Facts
from optuna_layerwise.reporting.report_grid import clean, number
from optuna_layerwise.reporting.verdict import best_baseline, chose_baseline
from optuna_layerwise.storage import without_feasible

FEW_TRIALS = 30
"""Three generations of ten: before, the first random draws are most of the search."""
_LATE = 0.8
_SHARES = ("accuracy", "balanced_accuracy")
"""Metrics that are shares of images, so that binomial arithmetic holds (for the second nearly)."""
_LISTED = 10


def warnings_of(facts: Facts) -> list[str]:
    """Sentences, the gravest first; none if there is nothing to say."""
    found = [
        *_no_test(facts),
        *_later(facts),
        *_chance(facts),
        *_search(facts),
        *_trials(facts),
        *_setups(facts),
    ]
    data = [f"About the data: {text}." for text in facts.notices]
    if facts.noun != "images":
        data.insert(
            0, f"The examples are {facts.noun}; where this page says images, it means them."
        )
    network = [f"About the network: {text}." for text in facts.model_notices]
    return [clean(text) for text in [*data, *network, *found]]


def _no_test(facts: Facts) -> Iterator[str]:
    if facts.unreadable:
        yield f"The stored result cannot be shown: {facts.unreadable}"
    elif lost := lost_opening(facts.history.results, facts.history.openings, facts.history.again):
        yield lost
    elif facts.final is None and facts.best is not None:
        yield (
            "The test split has not been opened. All numbers are of validation, and the best of "
            "many trials is partly luck: expect less on new images."
        )


def _later(facts: Facts) -> Iterator[str]:
    answer = facts.history.answer
    if answer is None or answer.final is None:
        return
    if about := about_openings(answer.final, facts.history.openings):
        yield about
    if answer.later:
        yield (
            f"{later_words(answer.later)}: they did not take part in it, and the plan and its "
            f"test result are those of the trials before. {facts.history.again} chooses among all "
            "trials, and opens the test split once more."
        )


def _chance(facts: Facts) -> Iterator[str]:
    best, history = facts.best, facts.history
    n = facts.validation_images
    if facts.metric not in _SHARES or best is None or best.value is None or n is None:
        return
    if not 0 <= best.value <= 1:
        return
    margin = binomial_margin(best.value, n)
    close = [row for row in history.best_first if best.value - (row.value or 0.0) <= margin]
    yield (
        f"The validation set has {n} images, so one image is {1 / n:.3f}. At {best.value:.3f}, "
        f"chance in which images it holds moves the {facts.metric} by ±{margin:.3f} (95 %, "
        f"binomial). {len(close)} of {len(history.best_first)} trials are that close to the best: "
        "validation alone cannot say which of them is best."
    )
    if facts.final is None or not (n_test := facts.images.get("test")):
        return
    metric, chosen = facts.final.metric, facts.final.chosen
    ours = chosen.mean(metric, split="test")
    rival = best_baseline(facts.final, split="test", other=True)
    if rival is None or math.isnan(ours):
        return
    theirs = rival.mean(metric, split="test")
    who = "The found policy and the best"
    if chose_baseline(facts.final):
        who = f"What was chosen, {clean(chosen.name)}, and the best other"
    needed = math.hypot(binomial_margin(ours, n_test), binomial_margin(theirs, n_test))
    verdict = (
        "more than chance in the test images explains"
        if abs(ours - theirs) > needed
        else "within what chance in the test images explains"
    )
    yield (
        f"The test set has {n_test} images: two results that differ by less than about "
        f"{needed:.3f} may be equal (95 %, binomial, if the images were drawn anew for each). "
        f"{who} baseline, {clean(rival.name)}, differ by {abs(ours - theirs):.3f}: "
        f"{verdict}. More trainings of the same policy do not change that; more test images do."
    )


def _search(facts: Facts) -> Iterator[str]:
    done, best = facts.finished, facts.best
    if not done:
        yield "No trial has finished yet."
        return
    if best is None:
        yield f"None of the {len(done)} finished trials gave a value that can be used."
        return
    if len(done) < FEW_TRIALS:
        few = "1 finished trial is" if len(done) == 1 else f"{len(done)} finished trials are"
        yield (
            f"{few} few: with less than {FEW_TRIALS}, a search is "
            "mostly its first random draws, and another seed may find something else."
        )
    order = [row.number for row in facts.history.as_finished]
    if len(done) >= 10 and order.index(best.number) >= _LATE * len(done):
        how = f", which counts after {facts.history.again} only" if facts.final else ""
        yield (
            f"The best trial, {best.number}, came late (after {order.index(best.number)} of "
            f"{len(done)}): the search was still improving, and more trials may find more{how}."
        )


def _trials(facts: Facts) -> Iterator[str]:
    bad = {outcome: facts.outcomes[outcome] for outcome in NO_VALUE if facts.outcomes[outcome]}
    if bad:
        listed = ", ".join(f"{n} {outcome}" for outcome, n in bad.items())
        rows = [row.number for row in facts.finished if row.outcome in bad]
        numbers = ", ".join(map(str, rows[:_LISTED])) + (", ..." if len(rows) > _LISTED else "")
        yield (
            f"{len(rows)} of {len(facts.finished)} trials gave no value: {listed} (trials "
            f"{numbers})."
        )
    if least := facts.history.least_infeasible:
        yield f"There is {without_feasible(least.trial)}."
    infeasible = sum(row.value is not None and not row.feasible for row in facts.finished)
    if infeasible:
        yield f"{infeasible} trials broke a constraint and cannot be the best."
    if facts.history.n_objectives > 1:
        yield (
            f"The study has {facts.history.n_objectives} objectives; but for the front, this "
            "report is about the first."
        )


def _setups(facts: Facts) -> Iterator[str]:
    if len(facts.devices) > 1:
        yield (
            f"Trials ran on different devices ({', '.join(facts.devices)}): their seconds cannot "
            "be compared, and their values differ in the last digits."
        )
    if len(facts.setups) > 1:
        yield (
            f"Trials were made with {len(facts.setups)} different setups (packages, code, data or "
            "recipe); `optuna-layerwise replay` says which draws can be repeated here."
        )
    if facts.final and (k := len(facts.final.chosen.test)) > 1:
        spread = facts.final.chosen.spread(facts.final.metric)
        yield (
            f"± is the standard deviation over {k} trainings ({number(spread)} for the found "
            "policy). The baselines have the search's recipe and were not tuned."
        )

"""The report of one study: what was found, how sure that is, what it cost, how to repeat it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from optuna_layerwise.analysis.history import Row
from optuna_layerwise.policy import Policy
from optuna_layerwise.records.answer import chosen_trial, opened_words, readable_final
from optuna_layerwise.reporting.report_blocks import blocks_section
from optuna_layerwise.reporting.report_classes import class_sections
from optuna_layerwise.reporting.report_facts import Facts
from optuna_layerwise.reporting.report_front import front_section
from optuna_layerwise.reporting.report_grid import (
    Grid,
    clean,
    count,
    duration,
    mean_and_spread,
    number,
    plan_text,
    tuned_text,
)
from optuna_layerwise.reporting.report_origin import (
    asked_section,
    cost_section,
    repeat_section,
)
from optuna_layerwise.reporting.report_page import Page, PlanRow, Section, Tile
from optuna_layerwise.reporting.report_warnings import warnings_of
from optuna_layerwise.reporting.verdict import (
    best_baseline,
    chose_baseline,
    cost_words,
    found_or_chosen,
    promise_words,
    trained_on,
    verdict,
)
from optuna_layerwise.storage import without_feasible
from optuna_layerwise.visualization import figures

_BEST = 10
"""Trials in the table."""
_FEW_BLOCKS = 12
"""That a sentence names."""
_DECADES = (-4.0, 1.0)
"""Of multipliers: the range of the bars."""


def study_page(
    facts: Facts,
    command: str = "",
    versions: Mapping[str, str] | None = None,
    *,
    images: bool = True,
) -> Page:
    """The report.

    Args:
        facts: Of the study.
        command: That repeats it.
        versions: Package to version, of this process.
        images: Whether thumbnails of test images may be shown.
    """
    name = clean(facts.history.name)
    done = len(facts.finished)
    sections = [
        _found(facts),
        front_section(facts.history),
        Section("Keep in mind", warnings=warnings_of(facts)),
        *_tested(facts),
        *(class_sections(facts.final, images=images) if facts.final else ()),
        _search(facts),
        blocks_section(facts),
        cost_section(facts),
        asked_section(facts),
        repeat_section(facts, command, versions or {}),
    ]
    trials = f"{done} finished {'trial' if done == 1 else 'trials'}"
    subtitle = ", ".join(part for part in (trials, _when(facts)) if part)
    return Page(f"Study {name}", subtitle, [s for s in sections if not s.empty])


def _found(facts: Facts) -> Section:
    best = facts.best
    if best is None:
        least = facts.history.least_infeasible
        found = without_feasible(least.trial) if least else "no trial has completed with a value"
        return Section("What was found", [f"Nothing yet: {found}."])
    chosen = facts.final.chosen if facts.final else None
    policy = chosen.policy if chosen else best.policy
    share = chosen.trained_share if chosen else best.trained_share
    tiles = [*_result_tiles(facts, best)]
    words = []
    if policy:
        trained = Policy(policy).trained
        word = found_or_chosen(facts.final) if facts.final else "found"
        words.append(_which(f"The policy {word}", policy, trained, share))
        note = f"{len(trained)} of {len(policy)} blocks"
        if share is not None:
            tiles.append(Tile("trained", f"{share:.1%}", f"of the parameters, {note}"))
    else:
        params = ", ".join(f"{clean(k)} = {clean(v)}" for k, v in best.trial.params.items())
        words.append(f"The best trial, {best.number}, has {params or 'no parameters'}.")
    of_trial = facts.final is None or chosen_trial(facts.final) is not None
    if of_trial and (tuned := tuned_text(chosen.recipe if chosen else best.tuned)):
        words.append(f"Tuned beside the rates: {tuned}.")
    if facts.saved is not None:
        note = "less arithmetic than the same trials with every block trained"
        tiles.append(Tile("work saved", f"{facts.saved:.0%}", note))
    if facts.final:
        said = (promise_words(facts.final), cost_words(facts.final.delivered))
        words = [verdict(facts.final), *words, *(text for text in said if text)]
    else:
        words.append(
            f"On validation it reaches {facts.metric} {number(best.value)} (trial {best.number})."
        )
    return Section("What was found", words, tiles, plan=plan_rows(facts, policy or {}))


def _which(
    what: str, policy: Mapping[str, float], trained: Sequence[str], share: float | None
) -> str:
    text = f"{what} trains {len(trained)} of {len(policy)} blocks"
    text += f" ({share:.1%} of the parameters)" if share is not None else ""
    if not trained or len(trained) == len(policy):
        return text + "."
    names = [clean(block) for block in trained]
    if len(names) > _FEW_BLOCKS:
        return f"{text}, from {names[0]} to {names[-1]}."
    return f"{text}: {', '.join(names)}."


def _result_tiles(facts: Facts, best: Row) -> Iterator[Tile]:
    metric = facts.metric
    if facts.final is None:
        yield Tile(f"validation {metric}", number(best.value), f"trial {best.number}, not tested")
        return
    final, k = facts.final, len(facts.final.chosen.test)
    trainings = "one training" if k == 1 else f"mean of {k} trainings"
    if (given := final.delivered) is not None:
        kind = f"team of {len(given.members)} networks" if given.is_team else "one network"
        yield Tile(f"test {metric}", number(given.test.get(final.metric)), f"handed over, {kind}")
    yield Tile(
        f"test {metric}",
        mean_and_spread(final.chosen, final.metric),
        f"{found_or_chosen(final)}, {trainings}",
    )
    if rival := best_baseline(final, split="test", other=True):
        of = "other baselines" if chose_baseline(final) else "baselines"
        words = f"the best of the {of} on the test split"
        yield Tile(clean(rival.name), mean_and_spread(rival, final.metric), words)


def plan_rows(facts: Facts, policy: Mapping[str, float]) -> list[PlanRow]:
    """The policy block by block; bars are on a log scale."""
    low, high = _DECADES
    rows = []
    for block, multiplier in policy.items():
        if multiplier == 0:
            rows.append(PlanRow(clean(block), "frozen", 0.0))
            continue
        width = (math.log10(multiplier) - low) / (high - low)
        rate = f"{facts.history.rate(multiplier):.2e}"
        text = rate if facts.history.lr is not None else f"× {multiplier:.3g}"
        rows.append(PlanRow(clean(block), text, min(max(width, 0.04), 1.0)))
    return rows


def _tested(facts: Facts) -> Iterator[Section]:
    if (final := facts.final) is None:
        return
    metric, given = final.metric, final.delivered
    others = sorted({m for c in [final.chosen, *final.baselines] for s in c.test for m in s})
    others = [m for m in others if m != metric]
    baselines = [b for b in final.baselines if b.name != final.chosen.name]
    judged = [(found_or_chosen(final), final.chosen), *((b.name, b) for b in baselines)]
    handed_over = [
        [
            "handed over",
            *(number(given.test.get(m)) for m in (metric, *others)),
            number(given.held_out.get(metric)),
            *("", str(len(given.members)), "", ""),
        ]
        for given in ([final.delivered] if final.delivered else [])
    ]
    results = Grid(
        title="Test results: found policy and baselines",
        header=[
            *("method", f"test {metric}", *(f"test {m}" for m in others)),
            *("held out", "trained", "trainings", "images", "time"),
        ],
        rows=handed_over
        + [
            [
                clean(name if c is not final.chosen else f"{name} ({c.name})"),
                mean_and_spread(c, metric),
                *(mean_and_spread(c, m) for m in others),
                number(c.mean(metric, split="val")),
                f"{c.trained_share:.1%}",
                str(len(c.val)),
                count(c.images_seen),
                duration(c.seconds),
            ]
            for name, c in judged
        ],
        note="Mean ± standard deviation over trainings with new seeds. Held out: the mean over "
        "the trainings that chose, on images that they did not see. Time: of these and of those "
        "that were tested. What is handed over was "
        f"trained on {trained_on(given)}. "
        f"The test split was opened {opened_words(final, facts.history.openings)}"
        f"{', after the choice' if final.number == 1 else ''}.",
    )
    finalists = Grid(
        title="Finalists: who was retrained, and who was chosen",
        header=["finalist", f"validation {metric}", "trainings", "trained", "time", "plan"],
        rows=[
            [
                clean(c.name) + (" (chosen)" if i == 0 else ""),
                number(c.mean(metric, split="val")),
                str(len(c.val)),
                f"{c.trained_share:.1%}",
                duration(c.seconds),
                plan_text(c.policy),
            ]
            for i, c in enumerate(final.finalists)
        ],
        note="Held-out images chose; who was clearly behind was trained no further. "
        "Plan: from the input to the head, ❄ is frozen, ■ is trained.",
    )
    figure = figures.validation_test_gap([facts.history])
    grids = [results, finalists, *_all_results(facts)]
    yield Section("On the test split", grids=grids, figures=[figure])


def _all_results(facts: Facts) -> Iterator[Grid]:
    """The history of a study that was finalized more than once."""
    history = facts.history
    found = [readable_final(history.study, n + 1)[0] for n in range(history.results)]
    if len(found) > 1:
        opened = {opening.result: opening.at for opening in history.openings}
        yield Grid(
            title="All results of this study",
            header=["result", "chosen", "among trials", "test", "test split opened"],
            rows=[
                [
                    str(final.number),
                    clean(final.chosen.name),
                    "-" if final.trials is None else str(final.trials),
                    f"{clean(final.metric)} {mean_and_spread(final.chosen, final.metric)}",
                    clean(opened.get(final.number, "-")),
                ]
                for final in found
                if final is not None
            ],
            note="The first result is of an untouched test split. Whoever chose the others could "
            "know the results before.",
        )


def _search(facts: Facts) -> Section:
    history = facts.history
    rows = [
        [
            str(row.number),
            number(row.value),
            "-" if row.trained_share is None else f"{row.trained_share:.1%}",
            "-" if row.seconds is None else duration(row.seconds),
            plan_text(row.policy),
            row.outcome,
        ]
        for row in history.best_first[:_BEST]
    ]
    listed = [
        f"{n} {clean(outcome)}"
        for outcome, n in facts.outcomes.most_common()
        if outcome != "complete"
    ]
    words = []
    if facts.finished:
        complete = facts.outcomes["complete"]
        trials = "trial" if complete == 1 else "trials"
        words = [f"{complete} {trials} completed" + (f"; {', '.join(listed)}." if listed else ".")]
    header = ["trial", f"validation {facts.metric}", "trained", "time", "plan", "outcome"]
    grid = Grid(f"The best {len(rows)} trials", header, rows)
    return Section(
        "The search",
        words,
        grids=[grid] if rows else [],
        figures=[figures.best_so_far(figures.alone([history])), figures.layer_plan(history)]
        if facts.finished
        else [],
    )


def _when(facts: Facts) -> str:
    """From the first to the last trial, by our own UTC times."""
    runs = [row.run for row in facts.finished]
    starts = sorted(str(run["started"]) for run in runs if run.get("started"))
    ends = sorted(str(run["finished"]) for run in runs if run.get("finished"))
    if not starts or not ends:
        return ""
    return clean(f"{starts[0][:16].replace('T', ' ')} to {ends[-1][:16].replace('T', ' ')} UTC")

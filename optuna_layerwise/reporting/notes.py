"""What a study and its answer are, in Markdown, for the notes of optuna-dashboard."""

from __future__ import annotations

import re
from collections import Counter

from optuna_layerwise.analysis.history import History, Row
from optuna_layerwise.io.packages import installed_versions
from optuna_layerwise.records.answer import about_openings, later_words, opened_words
from optuna_layerwise.reporting.markdown import escaped, fenced
from optuna_layerwise.reporting.report_front import front_words
from optuna_layerwise.reporting.report_grid import clean, mean_and_spread
from optuna_layerwise.reporting.verdict import verdict
from optuna_layerwise.storage import trial_record, without_feasible

PACKAGES = ("optuna-layerwise", "optuna", "torch", "torchvision", "cmaes")
MAX_BLOCKS = 80
_MAX_NAME = 120


def study_note(history: History, *, sampler: str, resume: str) -> str:
    """How far the study is, its best plan, what it was made with, and how to go on.

    Args:
        history: The study.
        sampler: Its name, where the settings have none.
        resume: A command or Python line.
    """
    counts = Counter(_outcome(row) for row in history.rows)
    finished = sum(row.finished for row in history.rows)
    target = history.settings.get("trials")
    of = f" of {target}" if isinstance(target, int) else ""
    each = ", ".join(f"{n} {markdown(outcome)}" for outcome, n in counts.most_common())
    lines = [f"**{markdown(history.name)}**: {finished}{of} trials finished", ""]
    if each:
        lines += [f"Trials: {each}.", ""]
    lines += [*_answer(history), *_tested(history)]
    lines += [line for words in front_words(history) for line in (escaped(words), "")]
    facts = {"sampler": sampler, "seed": _seed(history), **_settings(history)}
    lines += ["| made with | |", "|---|---|"]
    lines += [f"| {name} | {markdown(value)} |" for name, value in facts.items() if value]
    versions = ", ".join(f"{name} {n}" for name, n in installed_versions(PACKAGES).items())
    lines += [f"| versions | {markdown(versions)} |", ""]
    return "\n".join([*lines, "To go on:", "", fenced(clean(resume)), ""])


def trial_note(history: History, row: Row) -> str:
    """Why a trial is the study's answer, and its plan."""
    which = "The trial that was chosen and tested" if history.final else "The best trial so far"
    lines = [f"**{which}**{_value(history, row)}", ""]
    if row.trained_share is not None:
        lines += [f"It trains {row.trained_share:.1%} of the parameters.", ""]
    return "\n".join([*lines, *_plan(history), ""])


def markdown(text: object) -> str:
    """Text that Markdown shows as it is, on one line and not too long."""
    line = clean(text)
    if len(line) > _MAX_NAME:
        line = f"{line[: _MAX_NAME - 1]}…"
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line)


def _answer(history: History) -> list[str]:
    row, final = history.answer_row, history.final
    if row is None and final is None:
        if least := history.least_infeasible:
            return [f"**{without_feasible(least.trial).capitalize()}.**", ""]
        return ["No trial has a value yet.", ""]
    which = "Best so far" if final is None else "Chosen"
    name = f"trial {row.number}" if row is not None else markdown(final and final.chosen.name)
    value = _value(history, row) if row is not None else ""
    return [f"**{which}: {name}**{value}", "", *_plan(history), ""]


def _value(history: History, row: Row) -> str:
    value = "no value" if row.value is None else f"{row.value:.6g}"
    return f", {value} {markdown(history.metric)} in the search"


def _plan(history: History) -> list[str]:
    policy = dict(history.answer_policy or {})
    if not policy:
        return []
    lines = [f"| block | {history.rate_name} |", "|---|---|"]
    for block, multiplier in list(policy.items())[:MAX_BLOCKS]:
        rate = f"{history.rate(multiplier):.3g}" if multiplier else "❄ frozen"
        lines.append(f"| {markdown(block)} | {rate} |")
    if len(policy) > MAX_BLOCKS:
        lines.append(f"| and {len(policy) - MAX_BLOCKS} more | |")
    return lines


def _tested(history: History) -> list[str]:
    """The result of a study that has been finalized."""
    if (final := history.final) is None:
        return []
    times = opened_words(final, history.openings)
    lines = [f"**{escaped(verdict(final))}**", ""]
    lines += [f"**On the test split, opened {times}** (mean ± standard deviation)", ""]
    lines += [f"| method | test {markdown(final.metric)} |", "|---|---|"]
    found = [(f"found ({final.chosen.name})", final.chosen)]
    for name, candidate in [*found, *((b.name, b) for b in final.baselines[:MAX_BLOCKS])]:
        lines.append(f"| {markdown(name)} | {mean_and_spread(candidate, final.metric)} |")
    lines.append("")
    if about := about_openings(final, history.openings):
        lines += [about, ""]
    if (answer := history.answer) is not None and answer.later:
        how = f"{history.again} chooses among all, and opens the test split once more"
        lines += [f"{later_words(answer.later)}: {how}.", ""]
    return lines


def _outcome(row: Row) -> str:
    return row.outcome if row.feasible else "infeasible"


def _seed(history: History) -> object:
    if "seed" in history.settings:
        return str(history.settings["seed"])
    records = (trial_record(row.trial) for row in history.rows)
    return next((str(record["seed"]) for record in records if "seed" in record), "")


def _settings(history: History) -> dict[str, object]:
    searched = "baseline" if history.settings.get("baseline") else "encoding"
    fields = (searched, "data", "model", "granularity", "device")
    found = {field: history.settings.get(field) for field in fields}
    if "sampler" in history.settings:
        found = {"sampler": history.settings["sampler"], **found}
    return found

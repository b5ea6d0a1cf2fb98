"""The report of one study: what was found, how sure that is, what it cost, how to repeat it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from optuna_layerwise.policy import Policy
from optuna_layerwise.reporting import figures
from optuna_layerwise.reporting.report_facts import Facts
from optuna_layerwise.reporting.report_grid import Grid, clean, count, duration, number
from optuna_layerwise.reporting.report_page import Code, Page, PlanRow, Section, Tile
from optuna_layerwise.reporting.report_warnings import warnings_of
from optuna_layerwise.reporting.rows import Row
from optuna_layerwise.results import Candidate, Final

_BEST = 10
"""Trials in the table."""
_FEW_BLOCKS = 12
"""That a sentence names."""
_DECADES = (-4.0, 1.0)
"""Of multipliers: the range of the bars."""


def study_page(facts: Facts, command: str = "", versions: Mapping[str, str] | None = None) -> Page:
    """The report.

    Args:
        facts: Of the study.
        command: That repeats it.
        versions: Package to version, of this process.
    """
    name = clean(facts.history.name)
    done = len(facts.finished)
    sections = [
        _found(facts),
        Section("Keep in mind", warnings=warnings_of(facts)),
        *_tested(facts),
        _search(facts),
        _blocks(facts),
        _cost(facts),
        _asked(facts),
        _repeat(facts, command, versions or {}),
    ]
    trials = f"{done} finished {'trial' if done == 1 else 'trials'}"
    subtitle = ", ".join(part for part in (trials, _when(facts)) if part)
    shown = [s for s in sections if s != Section(s.title)]
    return Page(f"Study {name}", subtitle, shown)


def _found(facts: Facts) -> Section:
    best = facts.best
    if best is None:
        return Section("What was found", ["Nothing yet: no trial has completed with a value."])
    chosen = facts.final.chosen if facts.final else None
    policy = chosen.policy if chosen else best.policy
    share = chosen.trained_share if chosen else best.trained_share
    tiles = [*_result_tiles(facts, best)]
    words = []
    if policy:
        trained = Policy(policy).trained
        words.append(_which(policy, trained, share))
        note = f"{len(trained)} of {len(policy)} blocks"
        if share is not None:
            tiles.append(Tile("trained", f"{share:.1%}", f"of the parameters, {note}"))
    else:
        params = ", ".join(f"{clean(k)} = {clean(v)}" for k, v in best.trial.params.items())
        words.append(f"The best trial, {best.number}, has {params or 'no parameters'}.")
    if facts.saved is not None:
        tiles.append(Tile("work saved", f"{facts.saved:.0%}", "of training every block"))
    if facts.final:
        words.append(_verdict(facts.final))
    else:
        words.append(
            f"On validation it reaches {facts.metric} {number(best.value)} (trial {best.number})."
        )
    return Section("What was found", words, tiles, plan=plan_rows(facts, policy or {}))


def _which(policy: Mapping[str, float], trained: Sequence[str], share: float | None) -> str:
    text = f"The policy found trains {len(trained)} of {len(policy)} blocks"
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
    yield Tile(
        f"test {metric}", mean_and_spread(final.chosen, final.metric), f"found, {trainings}"
    )
    if rival := _best_baseline(final):
        yield Tile(clean(rival.name), mean_and_spread(rival, final.metric), "best baseline, test")


def _verdict(final: Final) -> str:
    metric, chosen = final.metric, final.chosen
    text = f"On the test split it reaches {metric} {mean_and_spread(chosen, metric)}"
    if (rival := _best_baseline(final)) is None:
        return text + "."
    lead = chosen.mean(metric, split="test") - rival.mean(metric, split="test")
    lead *= -1 if metric == "loss" else 1
    how = "better" if lead > 0 else "worse"
    compared = f"{abs(lead):.3f} {how} than" if round(lead, 3) else "level with"
    return (
        f"{text}, {compared} the best of the baselines, {clean(rival.name)} "
        f"({mean_and_spread(rival, metric)})."
    )


def _best_baseline(final: Final) -> Candidate | None:
    sign = 1 if final.metric == "loss" else -1
    known = [
        (sign * value, i)
        for i, b in enumerate(final.baselines)
        if not math.isnan(value := b.mean(final.metric, split="test"))
    ]
    return final.baselines[min(known)[1]] if known else None


def mean_and_spread(candidate: Candidate, metric: str) -> str:
    """Test mean ± standard deviation."""
    mean, spread = candidate.mean(metric, split="test"), candidate.spread(metric)
    return number(mean) if math.isnan(spread) else f"{number(mean)} ± {number(spread)}"


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
    metric = final.metric
    others = sorted({m for c in [final.chosen, *final.baselines] for s in c.test for m in s})
    others = [m for m in others if m != metric]
    judged = [("found", final.chosen), *((b.name, b) for b in final.baselines)]
    results = Grid(
        title="Test results: found policy and baselines",
        header=[
            *("method", f"test {metric}", *(f"test {m}" for m in others)),
            *("validation", "trained", "trainings", "images", "time"),
        ],
        rows=[
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
        note="Mean ± standard deviation over trainings with new seeds on all training images. "
        "The test split was opened once, after the choice.",
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
        note="Validation chose; who was clearly behind was trained no further. "
        "Plan: from the input to the head, ❄ is frozen, ■ is trained.",
    )
    figure = figures.validation_test_gap([facts.history])
    yield Section("On the test split", grids=[results, finalists], figures=[figure])


def plan_text(policy: Mapping[str, float] | None, limit: int = 24) -> str:
    """A policy in one word; of many blocks only how many are trained."""
    if not policy:
        return "-"
    if len(policy) > limit:
        return f"{sum(value > 0 for value in policy.values())} of {len(policy)} trained"
    return "".join("■" if value > 0 else "❄" for value in policy.values())


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
        words = [f"{complete} trials completed" + (f"; {', '.join(listed)}." if listed else ".")]
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


def _blocks(facts: Facts) -> Section:
    history = facts.history
    if facts.best is None:
        return Section("Which blocks matter")
    drawn = [figures.block_importance(history), figures.accuracy_cost(history)]
    if any(row.trial.intermediate_values for row in history.rows):
        drawn.append(figures.learning_curves(history))
    if len({row.generation for row in facts.finished}) > 1:
        drawn.append(figures.population(history))
    return Section("Which blocks matter", figures=drawn)


def _cost(facts: Facts) -> Section:
    if not facts.finished:
        return Section("What it cost")
    images, flops = facts.total("images_seen"), facts.total("flops")
    rows = [
        [
            "search",
            str(len(facts.finished)),
            _or_dash(images),
            _work(flops),
            duration(facts.seconds),
        ]
    ]
    if facts.final:
        for name, of in (
            ("finalists", facts.final.finalists),
            ("baselines", facts.final.baselines),
        ):
            rows.append(
                [
                    name,
                    str(sum(len(c.val) for c in of)),
                    _or_dash(sum(c.images_seen for c in of)),
                    _work(sum(c.flops for c in of)),
                    duration(sum(c.seconds for c in of)),
                ]
            )
    words = []
    if facts.saved is not None:
        words.append(
            f"Training every block on the same images would have cost "
            f"{_work(facts.total('flops_of_all'))} operations: freezing saved {facts.saved:.0%}."
        )
    if n := facts.outcomes["repeated"]:
        whose = "1 trial" if n == 1 else f"{n} trials"
        words.append(f"{whose} took over the training of an equal one, at no cost.")
    if facts.final and facts.final.trainings_saved:
        n = facts.final.trainings_saved
        words.append(f"The finalists' race saved {n} {'training' if n == 1 else 'trainings'}.")
    grid = Grid("Cost", ["part", "trials or trainings", "images", "operations", "time"], rows)
    return Section("What it cost", words, grids=[grid])


def _or_dash(value: float) -> str:
    return count(value) if value else "-"


def _work(flops: float) -> str:
    return f"{flops:.2e}" if flops else "-"


def _asked(facts: Facts) -> Section:
    settings = facts.history.settings
    rows = [[name, clean(value)] for name, value in _settings(facts, settings) if value]
    grid = Grid("Settings", ["what", "value"], rows)
    return Section("What was asked", grids=[grid] if rows else [])


def _settings(facts: Facts, settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    def of(field: str) -> str:
        value = settings.get(field)
        return "" if value in (None, "", {}, []) else str(value)

    yield "data", PurePath(of("data")).name
    if facts.images:
        yield "images", ", ".join(f"{n:,} {split}" for split, n in facts.images.items())
    if facts.classes:
        shown = ", ".join(facts.classes[:12]) + (", ..." if len(facts.classes) > 12 else "")
        yield "classes", f"{len(facts.classes)}: {shown}"
    yield "model", of("model")
    yield "weights", PurePath(of("weights")).name
    size = of("image_size")
    yield "image size", f"{size} px" if size else ""
    yield "blocks", ", ".join(facts.history.blocks) if facts.history.blocks else ""
    yield "encoding", of("encoding")
    yield "sampler", " ".join(part for part in (of("sampler"), of("sampler_options")) if part)
    yield "seed", of("seed")
    recipe = settings.get("recipe")
    if isinstance(recipe, dict):
        known = {name: value for name, value in recipe.items() if value is not None}
        yield "recipe", ", ".join(f"{name} {value}" for name, value in known.items())
    yield "target", f"{of('trials')} finished trials" if of("trials") else ""
    yield "device", ", ".join(facts.devices)


def _repeat(facts: Facts, command: str, versions: Mapping[str, str]) -> Section:
    words = []
    made = dict.fromkeys(
        ", ".join(f"{clean(k)} {clean(v)}" for k, v in setup.get("packages", {}).items())
        for setup in facts.setups
        if isinstance(setup.get("packages"), dict)
    )
    words += [f"Trials were made with {text}." for text in made if text]
    if versions:
        shown = ", ".join(f"{name} {version}" for name, version in versions.items())
        words.append(f"This report was made with {shown}.")
    code = [Code("Command", command)] if command else []
    if facts.history.settings:
        text = json.dumps(facts.history.settings, indent=2, ensure_ascii=False, sort_keys=True)
        lines = [clean(line.replace("\t", " ")) for line in text.splitlines()]
        code.append(Code("All settings", "\n".join(lines), folded=True))
    return Section("To repeat it", words, code=code)


def _when(facts: Facts) -> str:
    """From the first to the last trial, by our own UTC times."""
    runs = [facts.run(row) for row in facts.finished]
    starts = sorted(str(run["started"]) for run in runs if run.get("started"))
    ends = sorted(str(run["finished"]) for run in runs if run.get("finished"))
    if not starts or not ends:
        return ""
    return clean(f"{starts[0][:16].replace('T', ' ')} to {ends[-1][:16].replace('T', ' ')} UTC")

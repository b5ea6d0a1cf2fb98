"""What a report says of a study's settings and cost, and how to repeat it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from optuna_layerwise.recipe import NOUNS
from optuna_layerwise.reporting.report_facts import Facts
from optuna_layerwise.reporting.report_grid import Grid, clean, count, duration
from optuna_layerwise.reporting.report_page import Code, Section


def cost_section(facts: Facts) -> Section:
    """Trials, images, operations and time, of the search and of what came after."""
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


def asked_section(facts: Facts) -> Section:
    """Data, network, sampler and recipe."""
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
        yield NOUNS.get(facts.task, "outputs"), f"{len(facts.classes)}: {shown}"
    yield "model", of("model")
    yield "weights", PurePath(of("weights")).name
    size = of("image_size")
    yield "image size", f"{size} px" if size else ""
    yield "blocks", ", ".join(facts.history.blocks) if facts.history.blocks else ""
    yield "baseline", of("baseline")
    yield "encoding", "" if of("baseline") else of("encoding")
    yield "sampler", " ".join(part for part in (of("sampler"), of("sampler_options")) if part)
    yield "seed", of("seed")
    if facts.recipe:
        known = {name: value for name, value in facts.recipe.items() if value is not None}
        yield "recipe", ", ".join(f"{name} {value}" for name, value in known.items())
    yield "target", f"{of('trials')} finished trials" if of("trials") else ""
    yield "device", ", ".join(facts.devices)


def repeat_section(facts: Facts, command: str, versions: Mapping[str, str]) -> Section:
    """The command, the versions and all settings."""
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

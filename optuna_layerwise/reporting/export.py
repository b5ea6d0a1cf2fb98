"""What a study found, as files to use: the plan, the weights, and a card about them."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Literal

import optuna
import yaml

from optuna_layerwise.io.files import whole_file, write_whole
from optuna_layerwise.records.final import times_opened
from optuna_layerwise.records.saved_network import WEIGHTS, SavedNetwork, network_in
from optuna_layerwise.reporting.export_card import card, untested_card
from optuna_layerwise.reporting.export_script import script_files
from optuna_layerwise.reporting.report_facts import Facts, changed_recipe, facts
from optuna_layerwise.reporting.saved_weights import saved_weights
from optuna_layerwise.reporting.shareable import shareable

PlanFormat = Literal["json", "yaml"]


def export(
    study: optuna.Study,
    folder: str | os.PathLike[str],
    *,
    trial: int | None = None,
    result: int | None = None,
    format: PlanFormat = "json",
    command: str = "",
) -> list[Path]:
    """Write what a finalized study hands over: policy, weights, a script and a model card.

    ``Policy.load`` and ``Recipe.load`` read the plan, and `load_exported` the whole folder.

    Args:
        study: That has been finalized, unless a trial is given.
        folder: Made if it does not exist; files in it are replaced.
        trial: Write only the plan of this trial, with its validation metrics.
        result: Number of the result to write, from 1, of a study that was finalized more than
            once; the latest by default.
        format: Of the plan.
        command: That repeats the study, for the card.

    Returns:
        The files: ``policy.json`` (or ``.yaml``), ``README.md`` and, where weights were saved,
        ``model.safetensors`` and ``predict.py``, which classifies images without this package;
        ``network.py`` where that needs it.

    Raises:
        FileNotFoundError: if the weights are not where they were saved, or others; the plan and
            the card are written all the same.
        ValueError: if the study has no result, or the trial no policy.
    """
    if trial is not None and result is not None:
        raise ValueError("a trial and a result are two plans: give one of them")
    known = facts(study, result=result)
    settings = _shareable(known.history.settings)
    known = dataclasses.replace(
        known, history=dataclasses.replace(known.history, settings=settings)
    )
    if trial is None and known.final is None:
        raise ValueError(known.unreadable or _no_result(known, result))
    folder = Path(folder)
    content = _plan(known) if trial is None else _plan_of_trial(known, trial)
    saved = known.final.weights if known.final and trial is None else None
    source = saved_weights(saved) if saved else None
    network = _network(source) if source else None
    _check_shareable(network)
    if network is not None and saved:
        content["network"] = _described(network, saved)
    plan = _written(folder, content, format)
    if trial is not None or known.final is None:
        return [plan]
    readme = folder / "README.md"
    write_whole(readme, card(known, plan.name, WEIGHTS if saved else "", command, network))
    if not saved:
        return [plan, readme]
    if source is None:
        raise FileNotFoundError(
            f"expected the weights of study {study.study_name!r} in {saved.get('path')}, as they "
            "were saved with their plan; there is no such file, or another one. The plan and the "
            "card are written"
        )
    target = folder / WEIGHTS
    with whole_file(target) as unfinished:
        shutil.copyfile(source, unfinished)
    return [plan, readme, target, *_scripts(folder, network)]


def export_untested(
    study: optuna.Study,
    folder: str | os.PathLike[str],
    name: str,
    plan: Mapping[str, Any],
    weights: Mapping[str, str],
    *,
    format: PlanFormat = "json",
) -> list[Path]:
    """Write the files beside a network that was trained to be exported, and was not tested.

    Args:
        study: The study.
        folder: The folder that has the weights as ``model.safetensors``.
        name: What the network is, such as ``trial 17``.
        plan: Its ``policy``, its ``recipe`` and its ``validation`` metrics.
        weights: The ``path`` and ``sha256`` of the weights.
        format: Of the plan.

    Returns:
        All files of the folder.
    """
    folder, known = Path(folder), facts(study)
    network = network_in(weights["path"])
    _check_shareable(network)
    settings = _shareable(known.history.settings)
    content = {"name": name, **plan, "metric": known.metric, "settings": settings}
    written = _written(folder, {**content, "network": _described(network, weights)}, format)
    readme = folder / "README.md"
    value = plan["validation"].get(known.metric)
    write_whole(
        readme, untested_card(study.study_name, name, known.metric, value, network, written.name)
    )
    return [written, readme, folder / WEIGHTS, *_scripts(folder, network)]


def _described(network: SavedNetwork, weights: Mapping[str, str]) -> dict[str, Any]:
    """The network, for the plan: how it is built, its classes, and what images it takes."""
    return {
        **dataclasses.asdict(network),
        "short_side": network.short_side,
        "interpolation": "bilinear, with antialiasing",
        "weights": {"file": WEIGHTS, "sha256": weights["sha256"]},
    }


def _written(folder: Path, content: Mapping[str, Any], format: PlanFormat) -> Path:
    """The file of the plan."""
    plan = folder / f"policy.{format}"
    text = (
        json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        if format == "json"
        else yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
    )
    write_whole(plan, text)
    return plan


def _scripts(folder: Path, network: SavedNetwork | None) -> list[Path]:
    """The files with which the network is used without this package."""
    files = script_files(network) if network else {}
    for name, text in files.items():
        write_whole(folder / name, text)
    return [folder / name for name in files]


def _check_shareable(network: SavedNetwork | None) -> None:
    """Refuse a network that only its user's code builds."""
    if network is not None and network.model.startswith("own/"):
        raise ValueError(
            f"the network {network.model.removeprefix('own/')!r} is of your own, and export "
            "writes how a network is built: load the file of weights with "
            "load_exported(file, build=...)"
        )


def _network(source: Path) -> SavedNetwork | None:
    """What the file of weights says of its network; ``None`` of an older release's file."""
    try:
        return network_in(source)
    except ValueError:
        return None


def _no_result(known: Facts, wanted: int | None) -> str:
    name, results = known.history.name, known.history.results
    if results:
        return f"study {name!r} has no result {wanted}: it has those from 1 to {results}"
    no_result = (
        "no result yet" if wanted is None else f"no result {wanted} (--result), nor another"
    )
    return (
        f"study {name!r} has {no_result}; finish it with `optuna-layerwise finalize` or "
        "objective.finalize(study), or export a trial of it (--trial N), untested"
    )


def _plan(known: Facts) -> dict[str, Any]:
    assert known.final is not None
    return {
        "policy": known.final.chosen.policy,
        "recipe": changed_recipe(known.recipe, known.final.chosen.recipe),
        "metric": known.final.metric,
        "result": known.final.number,
        "test_split_opened": times_opened(known.history.results, known.history.openings),
        "chosen": dataclasses.asdict(known.final.chosen),
        "settings": dict(known.history.settings),
    }


def _shareable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Without the folders of this machine."""
    paths, folders = {"data", "weights"}, {"output", "data_root", "image_root"}
    shown = {k: shareable(v) for k, v in settings.items() if k not in folders}
    return {k: PurePath(str(v)).name if k in paths and v else v for k, v in shown.items()}


def _plan_of_trial(known: Facts, number: int) -> dict[str, Any]:
    row = next((row for row in known.history.rows if row.number == number), None)
    if row is None or not row.policy:
        raise ValueError(
            f"study {known.history.name!r} has no trial {number} with a policy; it has "
            f"{len(known.history.rows)} trials"
        )
    return {
        "policy": dict(row.policy),
        "recipe": changed_recipe(known.recipe, row.tuned),
        "metric": known.history.metric,
        "trial": {"number": number, "validation": row.value, "outcome": row.outcome},
        "settings": dict(known.history.settings),
    }

"""The command ``export``."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optuna_layerwise.baselines import BASELINES, REFERENCES
from optuna_layerwise.cli.here import Here
from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    Storage,
    StudyName,
    console,
    load_study,
    options_of,
    takes,
)
from optuna_layerwise.cli.report import command_of
from optuna_layerwise.cli.stored_paths import check_paths, paths_of
from optuna_layerwise.experiments.settings import SETTINGS_KEY, Settings
from optuna_layerwise.io.plain import one_of
from optuna_layerwise.io.texts import quoted
from optuna_layerwise.records.final import stored_final

if TYPE_CHECKING:
    import numpy as np
    import optuna
    import torch
    from numpy.typing import NDArray

    from optuna_layerwise.data.decode import Item
    from optuna_layerwise.prediction import Exported
    from optuna_layerwise.reporting.export import PlanFormat

_PLANS: tuple[PlanFormat, ...] = ("json", "yaml")
_PROGRAMS = {"onnx": "model.onnx", "torch": "model.pt2"}
_IMAGES = 20
"""On which a program is compared with the network."""
_FILES = {
    *(".json", ".yaml", ".yml", ".md", ".txt", ".html", ".pdf", ".csv", ".safetensors", ".pt"),
    *(".pth", ".onnx", ".zip", ".tar", ".gz", ".tgz"),
}


@takes(options_of(Here))
def export_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    to: Annotated[
        Path, typer.Option(help="Folder for the plan, the card and the weights.")
    ] = Path("exported"),
    format: Annotated[
        list[str] | None,
        typer.Option(
            help="Format of the plan, json or yaml; and onnx, or torch for torch.export, to write "
            "the network in that format, too; repeatable. Default: json."
        ),
    ] = None,
    trial: Annotated[
        int | None,
        typer.Option(
            help="Number of a trial, of which the plan alone is written; it need not be tested. "
            "With --train its network, too."
        ),
    ] = None,
    train: Annotated[
        bool,
        typer.Option(
            "--train",
            help="Train the policy of --trial again on all images but the test split's.",
        ),
    ] = False,
    baseline: Annotated[
        list[str] | None,
        typer.Option(help="A baseline, such as full, to train again and export; repeatable."),
    ] = None,
    all_finalists: Annotated[
        bool,
        typer.Option(
            "--all-finalists",
            help="Train each finalist and baseline again, and export each to a folder of its own.",
        ),
    ] = False,
    result: Annotated[
        int | None,
        typer.Option(help="Number of the result, if there are several. Default: the latest."),
    ] = None,
    **typed: Any,
) -> None:
    """Write the network that was found, its policy, a script to use it, and a model card.

    Others than the one that was found are trained again, which takes the time of two trainings
    each: the policy of a trial, baselines, or all finalists. They are not tested.
    """
    asked = [one_of("--format", each, (*_PLANS, *_PROGRAMS)) for each in format or ()]
    programs = [each for each in asked if each in _PROGRAMS]
    plans = [each for each in _PLANS if each in asked] or ["json"]
    if len(plans) > 1:
        raise ValueError("--format json and --format yaml are two formats of one plan: choose one")
    if train and trial is None:
        raise ValueError("--train is for --trial N: name the trial whose policy is to be trained")
    if programs and trial is not None and not train:
        raise ValueError(
            f"--format {programs[0]} is for a network; of --trial {trial} the plan alone is "
            "written, unless --train is given"
        )
    kind = plans[0]
    for each in baseline or ():
        one_of("--baseline", each, BASELINES)
    if to.suffix.lower() in _FILES and not to.is_dir():
        raise ValueError(f"--to must be a folder, got a name that is a file's: {str(to)!r}")
    if train or baseline or all_finalists:
        if result is not None:
            raise ValueError("--result is for the network that was found; leave it out")
        asked_for = [*([trial] if train else []), *(baseline or ())]
        _export_again(Here(**typed), storage, study, to, asked_for, all_finalists, kind, programs)
        return
    for field, value in typed.items():
        if value not in (None, [], False):
            raise ValueError(
                f"--{field.replace('_', '-')} is for networks that are trained again, with "
                "--train, --baseline or --all-finalists; leave it out"
            )
    opened = load_study(storage, study, read_only=True)
    from optuna_layerwise.reporting.export import export  # with yaml and jinja

    command = command_of(opened)
    written: list[Path] = []
    try:
        written = export(opened, to, trial=trial, result=result, format=kind, command=command)
    finally:
        names = [path.name for path in written] or [f"policy.{kind}", "README.md"]
        for name in names:
            if (to / name).is_file():
                console.print(quoted(str(to / name)), soft_wrap=True)
    if programs:
        _write_programs(opened, to, programs)


def _export_again(
    here: Here,
    storage: str,
    name: str,
    to: Path,
    asked_for: list[int | str],
    all_finalists: bool,
    kind: PlanFormat,
    programs: Sequence[str],
) -> None:
    """Train policies and baselines again, and export each; several to folders of their own."""
    opened = load_study(storage, name)
    if SETTINGS_KEY not in opened.user_attrs:
        raise ValueError(
            f"study {name!r} was not created by `optuna-layerwise tune`, so its data and model "
            "are not known here; train again in Python: train_again(objective, study, ...)"
        )
    final = stored_final(opened)
    if all_finalists and final is None:
        raise ValueError(f"study {name!r} has no finalists yet; finalize it first")
    stored = Settings.from_study(opened)
    from optuna_layerwise.objective.again import train_again
    from optuna_layerwise.records.saved_network import WEIGHTS
    from optuna_layerwise.reporting.export import export_untested

    if all_finalists and final is not None:
        names = [each.name for each in final.finalists if re.fullmatch(r"trial \d+", each.name)]
        asked_for += [int(each.removeprefix("trial ")) for each in names]
        asked_for += REFERENCES
    asked_for = list(dict.fromkeys(asked_for))
    search = here.search(opened, stored, storage)
    for which in asked_for:
        title = f"trial-{which}" if isinstance(which, int) else which
        folder = to / title if len(asked_for) > 1 else to
        with console.status(f"training {title} again"):
            again = train_again(search.objective, search.study, which, folder / WEIGHTS)
        plan = {"policy": again.policy, "recipe": again.recipe, "validation": again.validation}
        for path in export_untested(opened, folder, again.name, plan, again.weights, format=kind):
            console.print(quoted(str(path)), soft_wrap=True)
        if programs:
            _write_programs(opened, folder, programs)


def _write_programs(study: optuna.Study, to: Path, programs: Sequence[str]) -> None:
    """Write the exported network as programs, and say how near their probabilities are."""
    from optuna_layerwise.prediction import load_exported, write_onnx, write_program

    exported = load_exported(to, device="cpu")
    if exported.network.takes != "images":
        raise ValueError(
            f"--format {programs[0]} is for networks of images, and this one takes "
            f"{exported.network.takes}; the folder {to} has its weights"
        )
    pixels, what = _pixels(study, exported)
    for program in dict.fromkeys(programs):
        write = write_onnx if program == "onnx" else write_program
        path = to / _PROGRAMS[program]
        difference = write(exported, path, pixels)
        console.print(
            f"{quoted(str(path))}: on {what}, its probabilities differ from torch's by at most "
            f"{difference:.1g}",
            soft_wrap=True,
        )


def _pixels(study: optuna.Study, exported: Exported) -> tuple[torch.Tensor, str]:
    """Images uint8 [n, 3, H, W] to compare on: the study's if they are there, else noise."""
    import numpy as np
    import torch

    found: list[NDArray[np.uint8]] = []
    with contextlib.suppress(OSError, ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `tune` has said what is wrong with the data
        decoded = exported.decoded(_some_images(study))
        found = [image for image in decoded if not isinstance(image, str)]
    if len(found) > 1:
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2), f"{len(found)} images"
    side = exported.network.image_size
    noise = torch.Generator().manual_seed(0)
    shape = (_IMAGES, 3, side, side)
    made = torch.randint(256, shape, dtype=torch.uint8, generator=noise)
    return made, f"{_IMAGES} images of noise (the study's own are not there)"


def _some_images(study: optuna.Study) -> list[Item]:
    """Some images of a study's data, if they are where the one who runs this has said.

    Raises:
        OSError: if the data are not there.
        ValueError: if nobody has chosen their place here, or they are not as expected.
    """
    from optuna_layerwise.data.data_sources import read_source

    settings = Settings.from_study(study)
    check_paths(study, paths_of(settings, "data", "data_root", "image_root"))
    raw = read_source(
        settings.data,
        seed=settings.split_seed,
        root=Path(settings.data_root) if settings.data_root else None,
        download=False,
        columns=settings.columns or None,
        task=settings.task,
        image_root=tuple(map(Path, settings.image_root)),
        group_by=settings.group_by,
        group_rule=settings.group_rule,
    )
    items = [item for part in raw.parts.values() for item in part.items]
    return items[:: max(1, len(items) // _IMAGES)][:_IMAGES]

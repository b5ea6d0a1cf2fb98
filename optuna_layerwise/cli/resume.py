"""The command ``resume``: take a pause or a stop back, work to the target, and finalize."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    Storage,
    StudyName,
    absolute,
    absolute_folder,
    console,
    load_study,
)
from optuna_layerwise.cli.stored_paths import TrustPaths, check_paths, paths_of

if TYPE_CHECKING:
    import optuna

    from optuna_layerwise.experiments.settings import Settings

Data = Annotated[str | None, typer.Option(help="Where the same data lies here.")]
DataRoot = Annotated[
    str | None, typer.Option(help="Where the data sets that go by name lie here.")
]
ImageRoot = Annotated[
    list[str] | None, typer.Option(help="Where the images of a .csv lie here; repeatable.")
]
Download = Annotated[bool, typer.Option(help="Download the data if they are missing.")]
Weights = Annotated[str | None, typer.Option(help="Where the same weights lie here.")]
Model = Annotated[
    str | None, typer.Option(help="The study's network again, where it is fetched from a hub.")
]
Output = Annotated[
    str | None,
    typer.Option(help="Folder of unfinished trials, one for all workers; default as stored."),
]
Device = Annotated[str | None, typer.Option(help="Default as stored with the study.")]
Threads = Annotated[int | None, typer.Option(help="Of torch; default as stored.")]
AllowDifferent = Annotated[
    bool,
    typer.Option(
        "--allow-different",
        help="Join with other data, weights, packages or code; each trial keeps what made it.",
    ),
]


def resume_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    trials: Annotated[int | None, typer.Option(help="New target of finished trials.")] = None,
    data: Data = None,
    data_root: DataRoot = None,
    image_root: ImageRoot = None,
    download: Download = False,
    weights: Weights = None,
    model: Model = None,
    output: Output = None,
    trust_paths: TrustPaths = False,
    device: Device = None,
    threads: Threads = None,
    allow_different: AllowDifferent = False,
    work: Annotated[
        bool, typer.Option(help="Or only take the pause back, for workers that wait for it.")
    ] = True,
    finalize: Annotated[
        bool, typer.Option(help="Or only search, and leave the last test to `finalize`.")
    ] = True,
) -> None:
    """Continue a study with its stored settings; the data and weights must be the same."""
    from optuna_layerwise.experiments.settings import Settings
    from optuna_layerwise.studies import resume

    opened = load_study(storage, study)
    if not work:
        resume(opened)
        console.print(f"study {study!r} goes on")
        return
    from optuna_layerwise.cli.searching import run  # with torch

    stored = Settings.from_study(opened)
    here = settings_here(
        opened,
        stored,
        trust_paths=trust_paths,
        data=data,
        data_root=data_root,
        image_root=image_root,
        weights=weights,
        model=model,
        output=output,
        device=device,
        threads=threads,
        trials=trials,
    )
    run(
        console,
        here,
        stored,
        storage,
        study,
        unpause=True,
        download=download,
        finalize=finalize,
        allow_different=allow_different,
    )


def settings_here(
    study: optuna.Study, stored: Settings, *, trust_paths: bool = False, **changes: Any
) -> Settings:
    """A study's settings with what differs on this machine; ``None`` is as stored.

    Raises:
        ValueError: if a path is as stored that the user has not chosen; see `check_paths`.
    """
    from optuna_layerwise.storage import study_id

    root, image_roots = changes.get("data_root"), changes.get("image_root")
    changes |= {
        "data": absolute(changes.get("data")),
        "data_root": root and absolute_folder(root),
        "image_root": tuple(map(absolute_folder, image_roots)) if image_roots else None,
        "weights": absolute(changes.get("weights")),
        "output": (output := changes.get("output")) and os.path.abspath(output),
    }
    given = {name: value for name, value in changes.items() if value is not None}
    here = dataclasses.replace(stored, **given)
    study_id(study)  # which older studies lack, and by which the paths are remembered
    check_paths(study, paths_of(here), given=given, trust=trust_paths)
    return here

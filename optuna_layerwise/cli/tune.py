"""The command ``tune``: options to the settings of a study, which is then run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    AllowDifferent,
    Download,
    Finalize,
    Storage,
    default_output,
    load_study,
    option_for,
    takes,
    told,
)
from optuna_layerwise.data.present import check_present
from optuna_layerwise.experiments.presets import PRESETS, defaults, filled_in
from optuna_layerwise.experiments.settings import SETTINGS, SETTINGS_KEY, Settings, weights_of

_DEFAULTS = defaults()


def _from_file(context: typer.Context, file: str | None) -> str | None:
    """Let what a file of settings says be the defaults of the options."""
    if file is not None:
        from optuna_layerwise.experiments.settings_file import read_settings

        context.default_map = read_settings(Path(file))
    return file


@takes([option_for(name, setting, _DEFAULTS.get(name)) for name, setting in SETTINGS.items()])
def tune_command(
    storage: Storage = DEFAULT_STORAGE,
    study: Annotated[
        str | None, told("Study", "Name of the study. Default: the name of the data.")
    ] = None,
    download: Download = False,
    preset: Annotated[
        str,
        told(
            "Search",
            f"Defaults of the other options: one of {', '.join(PRESETS)}, or paper, which is what "
            "was published with the sampler.",
        ),
    ] = "default",
    allow_different: AllowDifferent = False,
    work: Annotated[
        bool, told("Study", "Work on the study; if not, create it for `worker` and `launch`.")
    ] = True,
    finalize: Finalize = True,
    config: Annotated[
        str | None,
        told(
            "Study",
            "YAML file of settings, as `init` writes it; options that are typed win over it.",
            is_eager=True,
            callback=_from_file,
        ),
    ] = None,
    **typed: Any,
) -> None:
    """Search which blocks to train, and how fast; then choose, and test once.

    Continues a study of the same name and settings. Without arguments it runs on scikit-learn's
    digits, with a small network that was pretrained on the digits 0 to 4.
    """
    given = {
        name: SETTINGS[name].read(value)
        for name, value in typed.items()
        if value not in (None, [])
    }
    chosen = filled_in(given, preset)
    model, data = given.get("model"), typed["data"]
    if model is None and data != Settings.data:
        check_present(data)
        raise ValueError("--model is missing: name the pretrained network, such as resnet18")
    name = study or Path(data).stem or "study"
    from optuna_layerwise.models import ModelSpec  # with torch

    network = ModelSpec(
        name=model or Settings.model,
        args=given.get("model_args", {}),
        weights=weights_of(given.get("weights")),
        **{field: value for field, value in given.items() if field == "image_size"},
    )
    of_network = {
        field: getattr(network, field) for field in ("image_size", "resize", "mean", "std")
    }
    output = given.get("output") or default_output(name)
    settings = Settings(**{**of_network, **chosen, "output": output})
    from optuna_layerwise.cli.searching import run
    from optuna_layerwise.storage import holds_study, open_storage

    stored = None
    try:  # a database is made when all else is found to be right
        exists = holds_study(open_storage(storage, create=False, log=False), name)
    except FileNotFoundError:
        exists = False
    if exists:
        existing = load_study(storage, name)
        if SETTINGS_KEY in existing.user_attrs or existing.get_trials(deepcopy=False):
            stored = Settings.from_study(existing)
            if "group_rule" not in given:
                settings = dataclasses.replace(settings, group_rule=stored.group_rule)
    run(
        settings,
        stored,
        storage,
        name,
        download=download,
        to_work=work,
        finalize=finalize,
        allow_different=allow_different,
    )

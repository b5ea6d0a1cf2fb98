"""The command that repeats a study, from the settings that are stored with it."""

from __future__ import annotations

from optuna_layerwise.experiments.presets import PRESETS, filled_in
from optuna_layerwise.experiments.settings import SETTINGS, Settings
from optuna_layerwise.io.texts import command, option
from optuna_layerwise.storage import without_secrets

_ALWAYS = ("data", "model", "sampler", "seed", "image_size", "mean", "std", "baseline")
"""Settings that the command names even where they have the default."""


def option_of(field: str) -> str:
    """The option of ``tune`` that sets a field, or the field's name where there is none."""
    options = {".".join(setting.path): setting.option for setting in SETTINGS.values()}
    return options.get(field, field)


def tune_command_of(settings: Settings, storage: str, study: str) -> str:
    """The command ``tune`` that made a study, in full; the storage without its password.

    Of the presets it takes the one from which the fewest options differ.
    """
    commands = []
    for preset in PRESETS:
        base = _base(settings, preset)
        words = [] if preset == "default" else [["--preset", preset]]
        for name, setting in SETTINGS.items():
            usual = [] if name in _ALWAYS else setting.words(setting.of(base))
            if setting.repeats:
                words += [
                    each for each in setting.words(setting.of(settings)) if each not in usual
                ]
        fits = base.tie_break == settings.tie_break and set(base.sampler_options) <= set(
            settings.sampler_options
        )
        commands.append((not fits, len(words), words))
    _, _, shortest = min(commands, key=lambda found: found[:2])
    where = [*option("--storage", without_secrets(storage)), *option("--study", study)]
    return command(["optuna-layerwise", "tune", *sum(shortest, []), *where])


def _base(settings: Settings, preset: str) -> Settings:
    """What ``tune`` makes of a preset with the same data, sampler, seed and baseline."""
    given = {name: getattr(settings, name) for name in ("data", "sampler", "seed")}
    if settings.baseline is None:
        return Settings(**filled_in(given, preset))
    chosen = filled_in({**given, "baseline": settings.baseline}, preset)
    return Settings(**{**chosen, "encoding": settings.encoding, "head": settings.head})

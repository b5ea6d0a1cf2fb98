"""The options of all commands by purpose, as ``--help`` groups them."""

from __future__ import annotations

from typing import Any

PANELS: dict[str, tuple[str, ...]] = {
    "Study": (
        *("study", "storage", "output", "seed", "init_from", "work", "live", "allow_different"),
        *("wait", "now", "trust_paths"),
    ),
    "Data": (
        *("data", "data_root", "image_root", "download", "column", "group_by", "group_rule"),
        *("val", "test", "split_seed", "train_fraction", "paper_split", "skip_bad_images"),
    ),
    "Network": (
        *("model", "model_arg", "weights", "mean", "std", "image_size", "resize", "granularity"),
    ),
    "Search": (
        *("sampler", "sampler_option", "preset", "encoding", "baseline", "blocks", "head"),
        *("trials", "seed_recipes", "reuse", "prune", "pruner", "seeds_per_trial", "n_folds"),
    ),
    "Training": (
        *("epochs", "patience", "batch_size", "optimizer", "lr", "weight_decay", "schedule"),
        *("metric", "bn", "head_start"),
    ),
    "Result": (
        *("finalize", "again", "finalists", "final_seeds", "race", "retrain", "keep_weights"),
    ),
    "Machine": (
        *("device", "compute", "threads", "checkpoint_seconds", "lease_seconds"),
        *("patience_seconds", "engine", "gpus", "workers", "gpus_per_worker", "cpus_per_worker"),
        *("restarts", "ray_address", "cluster", "partition", "minutes", "slurm_option"),
    ),
}
"""Title to parameters of the commands, in the order of the help."""
_FEW = 8
_PLACES = {
    name: (index, place, title)
    for index, (title, names) in enumerate(PANELS.items())
    for place, name in enumerate(names)
}


def group(command: Any) -> None:
    """Give each option of a command its panel, unless the command has few."""
    if len(command.params) <= _FEW:
        return
    for param in command.params:
        if param.name in _PLACES:
            *_, param.rich_help_panel = _PLACES[param.name]
    command.params.sort(key=lambda param: _PLACES.get(param.name, (-1, 0))[:2])

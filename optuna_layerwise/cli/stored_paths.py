"""Paths that a database names are followed only if the one who runs the command has chosen them.

Whoever can write to a database can write any path there: to be read, written to, or downloaded.
So ``tune``, and each command that is given a path, notes it by the id of the study in a file of
the user's state folder. That file is found from every working directory, whichever folder a study
writes to; one in the study's folder would lie where only the database says.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import platformdirs
import typer

from optuna_layerwise.cli.options import default_output
from optuna_layerwise.data.names import DATA_NAMES

if TYPE_CHECKING:
    import optuna

    from optuna_layerwise.cli.settings import Settings

TrustPaths = Annotated[
    bool,
    typer.Option(
        "--trust-paths",
        help="Follow the paths that the database names; remembered for this study and user.",
    ),
]


def _is_file(weights: str) -> bool:
    path = Path(weights)
    return weights != "none" and (os.sep in weights or path.suffix != "" or path.exists())


def _is_fetched(model: str) -> bool:
    source, _, name = model.partition("/")
    return source == "transformers" and ("/" in name or Path(name).is_dir())


_LEADS_OUTSIDE: Mapping[str, Callable[[str], bool]] = {
    "data": lambda data: data not in DATA_NAMES,
    "data_root": bool,
    "weights": _is_file,
    "model": _is_fetched,
    "output": bool,
}
"""Setting to whether a value is a place on this machine, or of a hub that anybody writes to."""


def paths_of(settings: Settings, *fields: str) -> dict[str, str]:
    """Setting to its value, of those that lead outside; of all settings, or of some."""
    values = {field: getattr(settings, field) for field in fields or _LEADS_OUTSIDE}
    return {field: v for field, v in values.items() if v and _LEADS_OUTSIDE[field](v)}


def check_paths(
    study: optuna.Study,
    paths: Mapping[str, str],
    *,
    given: Collection[str] | None = None,
    trust: bool = False,
) -> None:
    """Refuse paths that nobody has chosen here; note those that are chosen now.

    Args:
        study: The study.
        paths: Those that are about to be used; see `paths_of`.
        given: The settings that were given as options; ``None`` if the command has none.
        trust: All were chosen.

    Raises:
        ValueError: if a path is of the database only.
    """
    known = _chosen(study)
    refused = {
        field: path
        for field, path in paths.items()
        if field not in (given or ())
        and path not in known.get(field, ())
        and (field, path) != ("output", default_output(study.study_name))
    }
    if refused and not trust:
        named = ", ".join(f"{field} {path!r}" for field, path in refused.items())
        options = ", ".join(f"--{field.replace('_', '-')}" for field in refused)
        ways = "Add" if given is None else f"Give {options} yourself, or add"
        raise ValueError(
            f"study {study.study_name!r}: its database names {named}, which you have not chosen "
            f"here, and whoever writes to the database can name any place. {ways} --trust-paths "
            "if that is what you want; you are asked once"
        )
    remember_paths(study, paths)


def remember_paths(study: optuna.Study, paths: Mapping[str, str]) -> None:
    """Note that the user has chosen paths for a study, if it has an id."""
    known = _chosen(study)
    new = {field: path for field, path in paths.items() if path not in known.get(field, ())}
    file = _file(study)
    if not new or file is None:
        return
    merged = {field: [*known.get(field, [])[-_MOST:], path] for field, path in new.items()}
    text = json.dumps({"study": study.study_name, "paths": {**known, **merged}}, indent=2)
    from optuna_layerwise.training.checkpoint import write_whole  # with torch

    try:
        write_whole(file, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        print(
            f"warning: it cannot be noted in {file} which paths you have chosen ({error}): other "
            "commands on this study will ask for them",
            file=sys.stderr,
        )


_MOST = 20
"""Paths of one setting that are remembered, besides a new one."""


def _chosen(study: optuna.Study) -> dict[str, list[str]]:
    """Setting to the paths that the user has chosen."""
    file = _file(study)
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError, RecursionError):
        return {}
    paths = content.get("paths") if isinstance(content, dict) else None
    found = paths.items() if isinstance(paths, dict) else ()
    return {field: listed for field, listed in found if isinstance(listed, list)}


def _file(study: optuna.Study) -> Path | None:
    from optuna_layerwise.storage import stored_marks

    found = stored_marks(study)
    folder = platformdirs.user_state_path("optuna-layerwise") / "paths"
    return None if found is None else folder / f"{found[0]}.json"

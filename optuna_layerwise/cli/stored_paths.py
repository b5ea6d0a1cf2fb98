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
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import platformdirs

from optuna_layerwise.cli.options import default_output
from optuna_layerwise.data.names import DATA_NAMES
from optuna_layerwise.io.files import write_whole

if TYPE_CHECKING:
    import optuna

    from optuna_layerwise.experiments.settings import Settings


def _is_file(weights: str) -> bool:
    path = Path(weights)
    return weights != "none" and (os.sep in weights or path.suffix != "" or path.exists())


def _is_fetched(model: str) -> bool:
    source, _, name = model.partition("/")
    return source == "transformers" and ("/" in name or Path(name).is_dir())


_LEADS_OUTSIDE: Mapping[str, Callable[[str], bool]] = {
    "data": lambda data: data not in DATA_NAMES,
    "data_root": bool,
    "image_root": bool,
    "weights": _is_file,
    "model": _is_fetched,
    "output": bool,
}
"""Setting to whether a value is a place on this machine, or of a hub that anybody writes to."""


Paths: TypeAlias = Mapping[str, Sequence[str]]
"""Setting to what it names."""


def paths_of(settings: Settings, *fields: str) -> Paths:
    """What settings name that leads outside; of all settings, or of some."""
    values = {field: getattr(settings, field) or () for field in fields or _LEADS_OUTSIDE}
    listed = {f: [value] if isinstance(value, str) else value for f, value in values.items()}
    return {f: [path for path in paths if _LEADS_OUTSIDE[f](path)] for f, paths in listed.items()}


def check_paths(
    study: optuna.Study,
    paths: Paths,
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
    known, own = _chosen(study), {"output": [default_output(study.study_name)]}
    refused = {
        field: sorted(set(named).difference(known.get(field, ()), own.get(field, ())))
        for field, named in paths.items()
        if field not in (given or ())
    }
    if any(refused.values()) and not trust:
        named = ", ".join(f"{f} {path[:_SHOWN]!r}" for f, some in refused.items() for path in some)
        options = ", ".join(f"--{f.replace('_', '-')}" for f, some in refused.items() if some)
        ways = "Add" if given is None else f"Give {options} yourself, or add"
        raise ValueError(
            f"study {study.study_name!r}: its database names {named}, which you have not chosen "
            f"here, and whoever writes to the database can name any place. {ways} --trust-paths "
            "if that is what you want; you are asked once"
        )
    remember_paths(study, paths)


def remember_paths(study: optuna.Study, paths: Paths) -> None:
    """Note that the user has chosen paths for a study, if it has an id."""
    known, file = _chosen(study), _file(study)
    merged = {
        field: list(dict.fromkeys([*known.get(field, []), *paths.get(field, [])]))[-_MOST:]
        for field in {**known, **paths}
    }
    if file is None or merged == known or not any(merged.values()):
        return
    text = json.dumps({"study": study.study_name, "paths": merged}, indent=2)
    try:
        write_whole(file, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        print(
            f"warning: it cannot be noted in {file} which paths you have chosen ({error}): other "
            "commands on this study will ask for them",
            file=sys.stderr,
        )


_MOST = 100
"""Paths of one setting that are remembered."""
_SHOWN = 200
"""Characters of a path in a message."""


def _chosen(study: optuna.Study) -> dict[str, list[str]]:
    """Setting to the paths that the user has chosen."""
    file = _file(study)
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError, RecursionError):
        return {}
    paths = content.get("paths") if isinstance(content, dict) else None
    found = paths.items() if isinstance(paths, dict) else ()
    return {
        field: [path for path in listed if isinstance(path, str)]
        for field, listed in found
        if isinstance(listed, list)
    }


def _file(study: optuna.Study) -> Path | None:
    from optuna_layerwise.storage import stored_marks

    found = stored_marks(study)
    folder = platformdirs.user_state_path("optuna-layerwise") / "paths"
    return None if found is None else folder / f"{found[0]}.json"

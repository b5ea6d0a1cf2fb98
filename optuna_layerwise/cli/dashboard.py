"""The command ``dashboard``: optuna-dashboard on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from optuna_layerwise.cli.options import DEFAULT_STORAGE, Storage, TrustPaths, console
from optuna_layerwise.cli.stored_paths import check_paths
from optuna_layerwise.io.plain import within

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def dashboard_command(
    storage: Storage = DEFAULT_STORAGE,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback need --open-to-all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8080,
    open_to_all: Annotated[
        bool,
        typer.Option(
            "--open-to-all",
            help="Listen where others can reach it, who can then change and delete studies.",
        ),
    ] = False,
    trust_paths: TrustPaths = False,
) -> None:
    """Browse the studies in optuna-dashboard, with figures, notes, weights and plans."""
    from optuna_layerwise.reporting.dashboard_guard import is_loopback

    within("--port", port, 0, 65_535)
    if not is_loopback(host):
        danger = (
            f"optuna-dashboard has no passwords: whoever reaches {host}:{port} can read, change "
            "and delete all studies"
        )
        if not open_to_all:
            raise ValueError(
                f"{danger}. Expected --host 127.0.0.1, got {host}; from elsewhere use an SSH "
                f"tunnel (ssh -L {port}:127.0.0.1:{port} HOST), or add --open-to-all if everybody "
                "may"
            )
        console.print(Text("warning: ", style="bold red") + danger, soft_wrap=True)
    from optuna_layerwise.storage import is_writable, open_storage

    read_only = not is_writable(storage)
    opened = open_storage(storage, create=False, read_only=read_only, log=False)
    from optuna_layerwise.reporting.dashboard_server import serve  # with sklearn

    outputs, refused = _outputs(opened, trust=trust_paths)
    if refused:
        console.print(
            f"artifacts of {len(refused)} studies are not shown, such as those of {refused[0]!r}: "
            "only the database says where they lie; --trust-paths shows them",
            soft_wrap=True,
        )
    serve(
        opened,
        outputs=outputs,
        host=host,
        port=port,
        ready=lambda url: console.print(f"{url} (Ctrl-C ends it)", soft_wrap=True),
    )


def _outputs(storage: BaseStorage, *, trust: bool) -> tuple[list[str], list[str]]:
    """The folders of the studies, and the studies whose folder nobody has chosen here."""
    import optuna

    from optuna_layerwise.analysis.history import settings_in
    from optuna_layerwise.storage import (
        readable_attrs,
        study_names,
    )

    outputs, refused = [], []
    for name in study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        output = settings_in(readable_attrs(study)).get("output")
        if not isinstance(output, str) or not output:
            continue
        try:
            check_paths(study, {"output": [output]}, trust=trust)
            outputs.append(output)
        except ValueError:
            refused.append(name)
    return outputs, refused

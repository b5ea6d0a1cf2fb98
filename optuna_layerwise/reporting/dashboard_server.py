"""optuna-dashboard on this machine, with the artifacts of the studies of a database."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import BinaryIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.simple_server import make_server as wsgi_server

import optuna
import optuna_dashboard
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from optuna_layerwise.io.files import whole_file
from optuna_layerwise.records.answer import answer_of
from optuna_layerwise.records.final import Final
from optuna_layerwise.reporting.dashboard_guard import Guard
from optuna_layerwise.reporting.saved_weights import saved_weights
from optuna_layerwise.storage.dashboard_attributes import mark_infeasible_trials

ARTIFACTS = "artifacts"
"""Folder beside the outputs of studies."""
DEFAULT_FOLDER = Path("optuna-layerwise-runs") / ARTIFACTS


class ArtifactFolders:
    """An artifact store that reads from several folders, and writes to the first.

    A file is linked where the file system can, so that weights do not lie on the disk twice.

    Args:
        folders: The first is made when something is written.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folder = folders[0]
        self._stores = [FileSystemArtifactStore(folder) for folder in folders]

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The artifact, wherever it is.

        Raises:
            ArtifactNotFound: if it is nowhere.
            ValueError: if the id would lead out of the folders, which Optuna 4 does not look at.
        """
        if artifact_id != Path(artifact_id).name:
            raise ValueError(f"Invalid artifact_id: it must be the name of a file: {artifact_id}")
        for store in self._stores:
            try:
                return store.open_reader(artifact_id)
            except ArtifactNotFound:
                continue
        raise ArtifactNotFound(f"artifact {artifact_id} is in none of the folders of this machine")

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store an artifact."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = getattr(content_body, "name", None)
        try:
            if not isinstance(name, str):
                raise OSError("no file to link")
            os.link(name, self._folder / artifact_id)
        except OSError:
            with (
                whole_file(self._folder / artifact_id) as unfinished,
                unfinished.open("wb") as file,
            ):
                shutil.copyfileobj(content_body, file)

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact.

        Raises:
            ArtifactNotFound: if it is nowhere.
        """
        for store in self._stores:
            try:
                return store.remove(artifact_id)
            except ArtifactNotFound:
                continue
        raise ArtifactNotFound(f"artifact {artifact_id} is in none of the folders of this machine")


def keep_result(study: optuna.Study, final: Final, output: Path) -> None:
    """Make the chosen plan, and its weights if they were saved, artifacts of a study.

    Args:
        study: The study.
        final: Its result.
        output: The study's folder; artifacts lie in `ARTIFACTS` beside it.
    """
    kept = {meta.filename for meta in optuna.artifacts.get_all_artifact_meta(study)}
    store = ArtifactFolders([output.parent / ARTIFACTS])
    name = "policy.json" if final.number == 1 else f"policy-{final.number}.json"
    if name not in kept:
        with tempfile.TemporaryDirectory() as folder:
            plan = Path(folder) / name
            plan.write_text(json.dumps(final.chosen.policy, indent=2) + "\n")
            _upload(store, plan, study)
    weights = saved_weights(final.weights or {})
    if weights is not None and weights.name not in kept:
        _upload(store, weights, study)


def artifact_folders(outputs: Iterable[str]) -> list[Path]:
    """Where studies that write to these folders keep theirs on this machine; at least one."""
    return list(dict.fromkeys([*(Path(o).parent / ARTIFACTS for o in outputs), DEFAULT_FOLDER]))


def make_server(
    storage: BaseStorage,
    *,
    outputs: Iterable[str] = (),
    host: str = "127.0.0.1",
    port: int = 8080,
) -> WSGIServer:
    """A server that listens; whoever opens its pages can change everything.

    Args:
        storage: The database. This object is changed so that it shows constraints.
        outputs: Folders of the studies' files; their artifacts are served, and no others.
        host: Address.
        port: 0 takes a free one.

    Raises:
        OSError: if the address cannot be listened on.
    """
    store = ArtifactFolders(artifact_folders(outputs))
    mark_infeasible_trials(storage, partial(_answer, storage))
    app = Guard(optuna_dashboard.wsgi(storage, artifact_store=store), host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET

    class Server(ThreadingMixIn, WSGIServer):
        address_family = family
        daemon_threads = True

    try:
        return wsgi_server(host, port, app, Server, _Quiet)
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error}; choose another --port") from error


def _answer(storage: BaseStorage, study_id: int) -> FrozenTrial | None:
    """The trial whose plan a study gives."""
    name = storage.get_study_name_from_id(study_id)
    found = answer_of(optuna.load_study(study_name=name, storage=storage))
    return None if found is None else found.trial


def serve(
    storage: BaseStorage,
    *,
    outputs: Iterable[str] = (),
    host: str = "127.0.0.1",
    port: int = 8080,
    ready: Callable[[str], object],
) -> None:
    """Serve until Ctrl-C; ``ready`` is told the address."""
    made = make_server(storage, outputs=outputs, host=host, port=port)
    with made as server, suppress(KeyboardInterrupt):
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{server.server_port}/")
        server.serve_forever()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """A line for every request helps nobody."""


def _upload(store: ArtifactFolders, path: Path, study: optuna.Study) -> None:
    upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=study)

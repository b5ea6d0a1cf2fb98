"""The file in which an interrupted training waits to be continued.

One line says what the file is and the SHA-256 of the rest, which is what ``torch.save`` wrote of
tensors and plain data; torch itself would not notice a changed byte. The file is written beside
its place, flushed to disk and renamed, so that the one of that name is always whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

VERSION = 1
_FIRST_LINE = re.compile(rb"optuna-layerwise checkpoint (\d+) ([0-9a-f]{64})\n")


class Checkpoint:
    """A trial's checkpoint: the results of its finished fits, and where the present one stands.

    A file that is damaged, of another version or of another trial is refused with a warning, and
    the trial restarts. One that cannot be written costs a warning, too, and the training goes on.

    Args:
        path: Of the file. Its folder is created when it is first written.
        identity: What decides the trial, as plain data: a file of another one is refused.
        every: Least seconds between two epochs after which it is written; 0 writes after each.

    Example:
        >>> import tempfile
        >>> checkpoint = Checkpoint(Path(tempfile.mkdtemp()) / "trial", {"data": "leaves"})
        >>> checkpoint.save({"epoch": 3})
        >>> Checkpoint(checkpoint.path, {"data": "leaves"}).restore(print)
        {'epoch': 3}
        True
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, every: float = 10.0) -> None:
        if not every >= 0:
            raise ValueError(f"every must be at least 0 seconds, got {every}")
        self.path = path
        self.finished: list[dict[str, Any]] = []
        self._identity = dict(identity)
        self._every = every
        self._saved = time.monotonic()
        self._fit: Mapping[str, Any] | None = None
        if path.exists():
            self._read()

    def restore(self, load: Callable[[Mapping[str, Any]], object]) -> bool:
        """Give the state of the present fit to ``load``, once; returns whether it was taken.

        ``load`` refuses the state of another fit by a `ValueError`, a `KeyError` or a `TypeError`.
        """
        state, self._fit = self._fit, None
        if state is None:
            return False
        try:
            load(state)
        except (ValueError, KeyError, TypeError) as error:
            self._refuse(str(error))
            return False
        return True

    def is_due(self) -> bool:
        """Whether it is time to save again."""
        return time.monotonic() - self._saved >= self._every

    def save(self, fit: Mapping[str, Any] | None = None) -> None:
        """Write the file: the finished fits, and the state of the present one if there is one."""
        self._saved = time.monotonic()
        content = {"identity": self._identity, "finished": self.finished, "fit": fit}
        try:
            write_whole(self.path, _encode(content))
        except OSError as error:
            warnings.warn(
                f"the checkpoint {self.path} cannot be written ({error}); the training goes on, "
                "but if it is interrupted it repeats what the last checkpoint lacks",
                stacklevel=2,
            )

    def add(self, result: Mapping[str, Any]) -> None:
        """The present fit is finished; `save` writes its result from now on."""
        self.finished.append(dict(result))
        self._fit = None

    def remove(self) -> None:
        """The trial is finished."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            content = _decode(self.path.read_bytes())
            if different := differences(content["identity"], self._identity):
                raise ValueError(f"it is of another trial: {different}")
            self.finished, self._fit = list(content["finished"]), content["fit"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._refuse(str(error))

    def _refuse(self, reason: str) -> None:
        warnings.warn(
            f"the checkpoint {self.path} is not used, and its trial starts again: {reason}",
            stacklevel=3,
        )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; on return it is on disk.

    Raises:
        OSError: if it cannot be written; what was written is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished-{os.getpid()}-{path.name}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # some systems cannot open or sync a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def differences(theirs: Any, ours: Mapping[str, Any]) -> str:
    """What a saved mapping says otherwise, for a message; empty if nothing."""
    if not isinstance(theirs, Mapping):
        return f"expected a mapping, got {type(theirs).__name__}"
    names = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    return "; ".join(
        f"{name} is {_short(theirs.get(name))} there and {_short(ours.get(name))} here"
        for name in names
    )


def _encode(content: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    payload = buffer.getvalue()
    digest = hashlib.sha256(payload).hexdigest()
    return f"optuna-layerwise checkpoint {VERSION} {digest}\n".encode() + payload


def _decode(raw: bytes) -> dict[str, Any]:
    first = _FIRST_LINE.match(raw)
    if first is None:
        raise ValueError("it is no checkpoint of optuna-layerwise, or cut short")
    if (version := int(first[1])) != VERSION:
        raise ValueError(f"it has version {version}, and this package reads version {VERSION}")
    payload = memoryview(raw)[first.end() :]
    if hashlib.sha256(payload).hexdigest() != first[2].decode():
        raise ValueError("its content is damaged or cut short")
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises almost anything
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"its content cannot be read: {reason}") from error
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}")
    return content


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."

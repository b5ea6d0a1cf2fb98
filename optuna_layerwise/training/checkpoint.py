"""The file in which an interrupted training waits to be continued.

One line says what the file is and the SHA-256 of the rest, which is what ``torch.save`` wrote of
tensors and plain data; torch itself would not notice a changed byte. See `write_whole`: the file
of that name is always whole.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from optuna_layerwise.io.files import write_whole
from optuna_layerwise.io.plain import there_and_here
from optuna_layerwise.training.contents import same, unstorable

VERSION = 1
_UNUSABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading data of an unexpected form raises."""
_FIRST_LINE = re.compile(rb"optuna-layerwise checkpoint (\d+) ([0-9a-f]{64})\n")


class Checkpoint:
    """What an interrupted trial needs to go on: its finished fits, and where the present one is.

    A file that is damaged, of another version or of another trial is refused with one warning, and
    the trial starts again. If it cannot be written, on a full disk for instance, or because an
    optimizer's state has objects of its own, that costs one warning, and the training goes on.

    Args:
        path: Of the file. Its folder is made when it is first written.
        identity: What decides the trial, as plain data; a file of another one is refused.
        every: A fit saves at the end of an epoch if the last save is at least that many seconds
            ago, and 20 times what it took, so that saving takes 5 % of the time at most. 0: at
            the end of every epoch.
        saved: Files to go on from, the best first; by default that of ``path``.

    Attributes:
        trial: What its owner wants to have back, as tensors and plain data.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "trial-7.checkpoint"
        >>> Checkpoint(path, {"data": "leaves"}).save({"epoch": 3})
        >>> Checkpoint(path, {"data": "leaves"}).restore_fit(print)
        {'epoch': 3}
        True
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, Any],
        *,
        every: float = 10.0,
        saved: Sequence[Path] | None = None,
    ) -> None:
        self.path = path
        self.trial: dict[str, Any] = {}
        self._identity = dict(identity)
        self._every = every
        self._due = time.monotonic() + every
        self._fit: Mapping[str, Any] | None = None
        self._warned = False
        self._source = path
        for source in [path] if saved is None else saved:
            if source.exists() and self._read(source):
                break

    def restore_trial(self, load: Callable[[Mapping[str, Any]], object]) -> bool:
        """Give what is saved of the trial to ``load``, if there is anything; see `restore_fit`."""
        if not self.trial:
            return False
        taken = self._taken(load, self.trial)
        if not taken:
            self.trial, self._fit = {}, None
        return taken

    def restore_fit(self, load: Callable[[Mapping[str, Any]], object]) -> bool:
        """Give the saved state of the present fit to ``load``, once; returns whether it took it.

        ``load`` refuses what it cannot use by a `ValueError`, a `KeyError` or the like.
        """
        state, self._fit = self._fit, None
        return state is not None and self._taken(load, state)

    def is_due(self) -> bool:
        """Whether it is time to save at the end of an epoch."""
        return time.monotonic() >= self._due

    def save(self, fit: Mapping[str, Any] | None = None) -> None:
        """Write the file, with the state of the present fit unless that is finished."""
        started = time.monotonic()
        content = {"identity": self._identity, "trial": self.trial, "fit": fit}
        try:
            if reason := unstorable(content):
                raise ValueError(reason)
            write_whole(self.path, *_encode(content))
        except (OSError, ValueError, RuntimeError) as error:  # torch raises the last one
            if not self._warned:
                warnings.warn(
                    f"the checkpoint {self.path} cannot be written ({error}); the training goes "
                    "on, but what an older checkpoint lacks is repeated if it is interrupted",
                    stacklevel=2,
                )
            self._warned = True
        now = time.monotonic()
        self._due = now + (max(self._every, 20 * (now - started)) if self._every else 0.0)

    def _read(self, source: Path) -> bool:
        self._source = source
        try:
            content = _decode(source.read_bytes())
            if different := differences(content["identity"], self._identity):
                raise ValueError(f"it is of another trial: {different}")
            self.trial, self._fit = dict(content["trial"]), content["fit"]
        except (OSError, *_UNUSABLE) as error:
            self._refuse(error)
            return False
        return True

    def _taken(
        self, load: Callable[[Mapping[str, Any]], object], saved: Mapping[str, Any]
    ) -> bool:
        try:
            load(saved)
        except _UNUSABLE as error:
            self._refuse(error)
            return False
        return True

    def _refuse(self, reason: Exception) -> None:
        warnings.warn(
            f"the checkpoint {self._source} is not used, what it holds is trained again: {reason}",
            stacklevel=4,
        )


def fault(path: Path) -> str:
    """What is wrong with the file of a checkpoint; empty if nothing."""
    try:
        _decode(path.read_bytes())
    except (OSError, *_UNUSABLE) as error:
        return str(error)
    return ""


def weights_file(model: nn.Module, metadata: Mapping[str, str]) -> bytes:
    """A model's weights as the content of a safetensors file, which `ModelSpec` takes."""
    own = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    return save(own, metadata=dict(metadata))


def differences(theirs: Any, ours: Mapping[str, Any]) -> str:
    """What a saved mapping says otherwise, for a message; empty if nothing."""
    if not isinstance(theirs, Mapping):
        return f"expected a mapping, got {type(theirs).__name__}"
    names = [n for n in {**ours, **theirs} if not same(theirs.get(n), ours.get(n))]
    return there_and_here({name: (ours.get(name), theirs.get(name)) for name in names})


def _encode(content: Mapping[str, Any]) -> tuple[bytes, memoryview]:
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).hexdigest()
    return f"optuna-layerwise checkpoint {VERSION} {digest}\n".encode(), payload


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

"""What the result of a study says of every test image: a file beside the saved weights.

It is a plain archive of NumPy, ``STEM.predictions.npz`` beside ``STEM.safetensors``, without
pickles and without compression, so ``np.load(path)`` reads it. Its arrays are the fields of
`Predictions`. `read_predictions` trusts nothing in it: whoever writes a database may name any
file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from optuna_layerwise.io.files import remove_whole, whole_file

MOST_PICTURES = 24
"""Of each kind: the most confident mistakes, and what the members disagree about most."""
LARGEST_PICTURE = 96
"""Pixels of the longer side of a thumbnail, at most."""
MOST_OF_MEMBERS = 2**28
"""Bytes of the members' probabilities; more are not stored."""
_LARGEST_FILE = 2**31
_NAME = ".predictions.npz"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities of the n test images for k classes, and pictures of some of them.

    Args:
        classes: Names, [k].
        names: Of the images, [n].
        labels: The true classes, [n].
        probabilities: Those of the network or the team that is handed over, [n, k].
        labelled: How many images of each class the handed-over networks were trained on, [k].
        pictured: The images that have a thumbnail, as indices, [t].
        thumbnails: Their RGB pixels, [t, height, width, 3].
        members: Probabilities of each member of a team, [m, n, k]; ``None`` for one network, and
            where they take more than `MOST_OF_MEMBERS`.
    """

    classes: NDArray[np.str_]
    names: NDArray[np.str_]
    labels: Integers
    probabilities: Floats
    labelled: Integers
    pictured: Integers
    thumbnails: NDArray[np.uint8]
    members: Floats | None = None

    def __post_init__(self) -> None:
        (n, k), t, size = self.probabilities.shape, len(self.pictured), self.thumbnails.shape[1:3]
        expected: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
            "classes": (np.str_, (k,)),
            "names": (np.str_, (n,)),
            "labels": (np.int64, (n,)),
            "probabilities": (np.float32, (n, k)),
            "labelled": (np.int64, (k,)),
            "pictured": (np.int64, (t,)),
            "thumbnails": (np.uint8, (t, *size, 3)),
        }
        if self.members is not None:
            expected["members"] = (np.float32, (len(self.members), n, k))
        for field, (kind, shape) in expected.items():
            found = getattr(self, field)
            if found.dtype.type is not kind or found.shape != shape:
                raise ValueError(
                    f"{field} must be {kind.__name__} {list(shape)}, got {found.dtype} "
                    f"{list(found.shape)}"
                )
        if (
            not n
            or not k
            or t > 2 * MOST_PICTURES
            or not 0 < min(size) <= max(size) <= LARGEST_PICTURE
        ):
            raise ValueError(
                f"expected images, classes and few small thumbnails, got {n} images, {k} classes "
                f"and {t} thumbnails of {list(size)} pixels"
            )
        _check_range("labels", self.labels, k - 1)
        _check_range("pictured", self.pictured, n - 1)
        _check_range("labelled", self.labelled, np.iinfo(np.int64).max)
        _check_range("probabilities", self.probabilities, 1)
        if self.members is not None:
            _check_range("members", self.members, 1)

    @property
    def answers(self) -> Integers:
        """The class with the largest probability, for each image."""
        highest: Integers = self.probabilities.argmax(axis=1)
        return highest

    @property
    def confidence(self) -> Floats:
        """The probability of that class."""
        highest: Floats = self.probabilities.max(axis=1)
        return highest

    def save(self, path: Path) -> dict[str, str]:
        """Write the file whole or not at all; returns its path and its SHA-256.

        Raises:
            OSError: if it cannot be written.
        """
        arrays = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        with whole_file(path) as unfinished:
            with unfinished.open("wb") as file:
                np.savez(file, **{n: values for n, values in arrays.items() if values is not None})
            digest = hashlib.sha256(unfinished.read_bytes()).hexdigest()
        return {"path": str(path.absolute()), "sha256": digest}


def _check_range(field: str, values: NDArray[Any], largest: float) -> None:
    """Refuse values below 0 or above the largest one, and those that are no numbers."""
    if not ((values >= 0) & (values <= largest)).all():
        raise ValueError(f"{field} must be 0 to {largest}")


def beside(weights: Path) -> Path:
    """Where the predictions of the networks in a file of weights lie."""
    return weights.with_name(f"{weights.stem}{_NAME}")


@contextlib.contextmanager
def stored_beside(
    predictions: Predictions | None, weights: Path
) -> Iterator[dict[str, str] | None]:
    """Write the file beside the weights; it is gone after an error in the ``with`` block.

    Yields the path and the SHA-256, or ``None`` where there is nothing to write or it cannot be
    written. The latter is a warning: the test result is worth more than its details.
    """
    path = beside(weights)
    saved = None
    if predictions is not None:
        try:
            saved = predictions.save(path)
        except OSError as error:
            warnings.warn(
                f"the report will lack what each class lacks: {error}; the result is stored",
                stacklevel=3,
            )
    try:
        yield saved
    except BaseException:
        if saved is not None:
            remove_whole(path)
        raise


def read_predictions(saved: Mapping[str, str]) -> Predictions | None:
    """What `Predictions.save` wrote; ``None`` if the file is gone, another one, or has changed.

    Args:
        saved: ``path`` and ``sha256``, as `Final.predictions`.
    """
    path = Path(saved.get("path", ""))
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_FILE:
            return None
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != saved.get("sha256"):
            return None
        return _parsed(content)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile, NotImplementedError):
        return None


def _parsed(content: bytes) -> Predictions:
    """An archive's arrays, none of which takes more memory than it takes in the archive.

    Raises:
        ValueError: if one is compressed, or no array of numbers or texts.
    """
    known = {field.name for field in dataclasses.fields(Predictions)}
    arrays: dict[str, Any] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name in known:
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{name} must not be compressed")
                arrays[name] = _array(archive.read(entry))
    return Predictions(**arrays)


def _array(content: bytes) -> NDArray[Any]:
    file = io.BytesIO(content)
    shape, fortran, dtype = _HEADERS[npy.read_magic(file)](file)
    if fortran or dtype.kind not in "Uifu" or not dtype.isnative:
        raise ValueError(f"expected rows of numbers or texts, got {dtype}")
    data = content[file.tell() :]
    if dtype.kind == "U" and (np.frombuffer(data, np.uint32) > sys.maxunicode).any():
        raise ValueError("expected texts, got numbers that are no characters")
    return np.frombuffer(data, dtype).reshape(shape)


def most_confident_mistakes(predictions: Predictions) -> Integers:
    """Indices of the images that are answered wrong, the most confident first."""
    wrong = np.flatnonzero(predictions.answers != predictions.labels)
    order = np.argsort(-predictions.confidence[wrong], kind="stable")
    return wrong[order][:MOST_PICTURES]


def most_disputed(predictions: Predictions) -> Integers:
    """Indices of the images that members answer differently, the most disputed first.

    They are ordered by the Jensen-Shannon divergence of the members' probabilities: the entropy
    of their mean minus the mean of their entropies.
    """
    members = predictions.members
    if members is None or len(members) < 2:
        return np.zeros(0, np.int64)
    answers = members.argmax(axis=2)
    disputed = np.flatnonzero((answers != answers[0]).any(axis=0))
    among = members[:, disputed].astype(np.float64)
    divergence = _entropy(among.mean(axis=0)) - _entropy(among).mean(axis=0)
    return disputed[np.argsort(-divergence, kind="stable")][:MOST_PICTURES]


def _entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithms = np.log(np.where(probabilities > 0, probabilities, 1.0))
    entropy: NDArray[np.float64] = -(probabilities * logarithms).sum(axis=-1)
    return entropy

"""What a result says of each test image, as it is saved beside the weights and read again."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from searches import GOOD, HEAD_ONLY, searched

from optuna_layerwise import Ending, ModelSpec
from optuna_layerwise.data import Splits
from optuna_layerwise.objective import finalists
from optuna_layerwise.records.final import Final, stored_final
from optuna_layerwise.records.predictions import (
    Predictions,
    most_confident_mistakes,
    most_disputed,
    read_predictions,
)

ENDING = Ending(folds=2, deliver="team", epochs=1)


def finalized(spec: ModelSpec, splits: Splits, folder: Path) -> Final:
    case = searched(spec, splits, [GOOD, HEAD_ONLY], 2)
    return case.objective.finalize(
        case.study,
        top=2,
        seeds=(0, 1),
        references=("probe-fitted",),
        weights=folder / "best.safetensors",
        ending=ENDING,
    )


def test_a_finalized_study_saves_the_predictions_that_its_test_result_is_of(
    spec: ModelSpec, splits: Splits, tmp_path: Path
) -> None:
    final = finalized(spec, splits, tmp_path)
    given, test = final.delivered, splits.test.open()
    assert given is not None and given.is_team and final.predictions is not None
    assert Path(final.predictions["path"]) == tmp_path / "best.predictions.npz"
    found = read_predictions(final.predictions)
    assert found is not None and found.members is not None
    assert float((found.answers == found.labels).mean()) == pytest.approx(given.test["accuracy"])
    assert list(found.names) == list(test.names) and list(found.classes) == list(test.classes)
    assert np.array_equal(found.labels, test.labels)
    weights = [member.weight for member in given.members]
    mixed = np.tensordot(weights, found.members, axes=1)
    assert np.allclose(mixed, found.probabilities, atol=1e-5)
    assert found.labelled.sum() == len(splits.train) + len(splits.val)
    shown = np.union1d(most_confident_mistakes(found), most_disputed(found))
    assert len(shown) and np.array_equal(found.pictured, shown)
    assert np.array_equal(found.thumbnails, test.batch(shown)), "8 pixels need not be made smaller"


def test_predictions_of_a_result_that_is_not_stored_are_gone_and_a_full_disk_costs_no_result(
    spec: ModelSpec, splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no database")

    with monkeypatch.context() as broken:
        broken.setattr(finalists, "store_final", refuse)
        with pytest.raises(RuntimeError, match="no database"):
            finalized(spec, splits, tmp_path)
    assert not list(tmp_path.glob("*predictions*"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Predictions, "save", full)
    with pytest.warns(UserWarning, match="No space left"):
        final = finalized(spec, splits, tmp_path)
    assert final.predictions is None and final.delivered is not None


def few() -> Predictions:
    """Three images of two classes, and a team of two that disagrees about the last."""
    members = np.array([[[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], [[0.9, 0.1], [0.8, 0.2], [0, 1]]])
    return Predictions(
        classes=np.array(["a", "b"]),
        names=np.array(["one.png", "two.png", "three.png"]),
        labels=np.array([0, 1, 1]),
        probabilities=members.mean(axis=0).astype(np.float32),
        labelled=np.array([5, 6]),
        pictured=np.array([1, 2]),
        thumbnails=np.full((2, 4, 4, 3), 7, np.uint8),
        members=members.astype(np.float32),
    )


def test_mistakes_and_disputes_are_the_images_that_they_should_be() -> None:
    assert most_confident_mistakes(few()).tolist() == [1]
    assert most_disputed(few()).tolist() == [2]


def packed(method: int = zipfile.ZIP_STORED, **changes: np.ndarray) -> bytes:
    """An archive like those of `Predictions.save`, with other arrays."""
    file = io.BytesIO()
    arrays = {n: v for n, v in vars(few()).items() if v is not None} | changes
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, values in arrays.items():
            entry = io.BytesIO()
            np.save(entry, values, allow_pickle=True)
            archive.writestr(f"{name}.npy", entry.getvalue())
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        packed(zipfile.ZIP_DEFLATED),
        packed(names=np.array([{"a": 1}, None, 3], dtype=object)),
        packed(labels=np.array([0, 1, 2])),
        packed(probabilities=np.full((3, 2), np.nan, np.float32)),
        packed(thumbnails=np.zeros((2, 4000, 4, 3), np.uint8)),
        packed(pictured=np.array([1, 3])),
        packed(names=np.frombuffer(b"\xff" * 12, "<U1")),
        packed().replace(b"'shape': (3, 2), }", b"'shape': (9, 9), }"),
    ],
)
def test_a_file_that_is_not_as_it_was_saved_is_not_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "best.predictions.npz"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    assert read_predictions({"path": str(path), "sha256": digest}) is None


def test_only_a_file_with_the_stored_digest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "best.predictions.npz"
    saved = few().save(path)
    found = read_predictions(saved)
    assert found is not None and np.array_equal(found.members, few().members)  # type: ignore[arg-type]
    assert read_predictions({**saved, "sha256": "0" * 64}) is None
    assert read_predictions({**saved, "path": str(tmp_path)}) is None
    assert read_predictions({}) is None


def test_a_result_of_an_older_release_has_no_predictions(
    spec: ModelSpec, splits: Splits, tmp_path: Path
) -> None:
    case = searched(spec, splits, [GOOD], 1)
    final = case.objective.finalize(case.study, top=1, seeds=(0,), references=(), ending=ENDING)
    stored = final.as_json()
    assert stored.pop("predictions") is None
    case.study.set_user_attr("olw:final", stored)
    assert stored_final(case.study) == final

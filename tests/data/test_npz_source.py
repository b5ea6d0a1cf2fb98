from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optuna_layerwise.data import load_data


def arrays(**changes: np.ndarray | None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    content: dict[str, np.ndarray | None] = {
        "train_images": rng.integers(0, 256, (20, 8, 8), dtype=np.uint8),
        "train_labels": (np.arange(20) % 2)[:, None],
        "test_images": rng.integers(0, 256, (6, 8, 8), dtype=np.uint8),
        "test_labels": np.arange(6) % 2,
    }
    return {key: value for key, value in (content | changes).items() if value is not None}


def write(folder: Path, **changes: np.ndarray | None) -> Path:
    np.savez(folder / "data.npz", **arrays(**changes))
    return folder / "data.npz"


def test_rows_keep_pixels_and_labels_and_val_is_cut_from_train(tmp_path: Path) -> None:
    content = arrays()
    splits = load_data(write(tmp_path), image_size=8)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [16, 4, 6]
    assert splits.classes == ("0", "1")
    for images in (splits.train, splits.val, splits.test.open()):
        for row, name in enumerate(images.names):
            split, index = name.split("/")
            grey = content[f"{split}_images"][int(index)]
            np.testing.assert_array_equal(images.batch([row])[0], np.stack([grey] * 3, axis=-1))
            assert images.labels[row] == content[f"{split}_labels"].reshape(-1)[int(index)]
    assert not set(splits.train.names) & set(splits.val.names)


def test_own_val_is_kept_and_colour_images_are_read(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    path = write(tmp_path, val_images=colour, val_labels=np.array([1, 0, 1, 0], np.uint8))
    splits = load_data(path, image_size=8)
    assert [len(splits.train), len(splits.val)] == [20, 4]
    np.testing.assert_array_equal(splits.val.batch(), colour)
    assert splits.val.labels.tolist() == [1, 0, 1, 0]


LABELS = np.arange(20) % 2


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.eye(2)[LABELS], ("0", "1")),
        (np.eye(2, dtype=bool)[LABELS], ("0", "1")),
        (np.array(["ox", "cat"])[LABELS], ("cat", "ox")),
        (np.array([["ox"], ["cat"]])[LABELS], ("cat", "ox")),
        (np.array(["\xe4".encode(), b"cat"])[LABELS], ("cat", "\xe4")),
        (LABELS == 0, ("False", "True")),
    ],
)
def test_labels_may_be_names_or_one_hot(
    tmp_path: Path, labels: np.ndarray, classes: tuple[str, ...]
) -> None:
    plain = load_data(write(tmp_path), image_size=8)
    splits = load_data(write(tmp_path, train_labels=labels, test_labels=labels[:6]), image_size=8)
    assert splits.classes == classes
    kept = LABELS if classes == ("0", "1") else 1 - LABELS
    numbers = [int(name.split("/")[1]) for name in splits.train.names]
    assert splits.train.labels.tolist() == kept[numbers].tolist()
    assert len(splits.train) == len(plain.train)


def test_images_may_have_one_channel_or_opacity(tmp_path: Path) -> None:
    content = arrays()
    one = {f"{split}_images": content[f"{split}_images"][..., None] for split in ("train", "test")}
    plain = load_data(write(tmp_path), image_size=8)
    np.testing.assert_array_equal(
        load_data(write(tmp_path, **one), image_size=8).train.batch(), plain.train.batch()
    )
    opaque = np.repeat(one["test_images"], 4, axis=-1)
    opaque[..., 3] = 255
    opaque[:, 0, 0, 3] = 0
    test = load_data(write(tmp_path, test_images=opaque), image_size=8).test.open().batch()
    np.testing.assert_array_equal(test[:, 1:], opaque[:, 1:, :, :3])
    assert not test[:, 0, 0].any()


def test_a_missing_test_split_is_cut_from_train(tmp_path: Path) -> None:
    path = write(tmp_path, test_images=None, test_labels=None)
    with pytest.warns(UserWarning, match="a train split only"):
        splits = load_data(path, image_size=8)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [12, 4, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_labels": None}, r"lacks the arrays \['test_labels'\]; it has"),
        ({"val_images": np.zeros((4, 8, 8), np.uint8)}, r"lacks the arrays \['val_labels'\]"),
        ({"train_images": np.zeros((20, 8, 8), complex)}, "train_images .*uint8, got complex128"),
        ({"test_images": np.zeros((6, 3, 8, 8), np.uint8)}, r"got uint8 \[6, 3, 8, 8\]"),
        ({"test_images": np.zeros((6, 0, 8), np.uint8)}, "has no pixel"),
        ({"train_labels": np.zeros((20, 14), int)}, r"one class per image, got int64 \[20, 14\]"),
        ({"train_labels": np.zeros(20)}, "must be integers .*got float64"),
        ({"train_labels": np.arange(19) % 2}, r"integers \[20\].*got int64 \[19\]"),
        ({"train_labels": np.arange(20) % 2 + 1}, "each class present.*got 2 classes: 1, 2"),
        ({"train_labels": np.arange(20) % 2 * 2}, "each class present.*got 2 classes: 0, 2"),
        ({"train_labels": np.zeros(20, int)}, "got 1 classes: 0"),
        ({"test_labels": np.arange(6)}, "test_labels .* 0 to 1 as in train_labels, got 0 to 5"),
        ({"test_labels": np.arange(6) % 2 - 1}, "0 to 1 as in train_labels, got -1 to 0"),
        ({"train_labels": np.array([object()] * 20)}, "not a readable .npz archive"),
        ({"train_images": np.zeros((20, 3, 8, 8), int)}, r"save images.transpose\(0, 2, 3, 1\)"),
        ({"train_labels": np.array(["a", "nan"])[LABELS]}, "10 of the train_labels .*are empty"),
        ({"test_labels": np.array(["a", "b"] * 3)}, "as in train_labels, got a to b: a is unkn"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_data(write(tmp_path, **changes), image_size=8)


def test_missing_and_damaged_archives_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file: .*gone.npz"):
        load_data(tmp_path / "gone.npz", image_size=8)
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="data.npz is not a readable .npz archive"):
        load_data(path, image_size=8)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="data.npz is not a readable .npz archive"):
        load_data(path, image_size=8)


def test_plain_array_file_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "data.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="not a readable .npz archive"):
        load_data(tmp_path / "data.npz", image_size=8)


@pytest.mark.slow
def test_usps_keeps_its_test_split(shared_data: Path) -> None:
    splits = load_data(shared_data / "usps.npz", image_size=16)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [5833, 1458, 2007]
    with np.load(shared_data / "usps.npz") as archive:
        expected = archive["test_images"]
    np.testing.assert_array_equal(splits.test.open().batch()[..., 1], expected)

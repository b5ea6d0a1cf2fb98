from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optuna_layerwise.data import load_data

WritePool = Callable[..., Path]


def test_pool_is_split_into_three_disjoint_stratified_splits(write_pool: WritePool) -> None:
    splits = load_data(write_pool({"a": 20, "b": 10}), image_size=8)
    test = splits.test.open()
    names = [*splits.train.names, *splits.val.names, *test.names]
    assert len(names) == len(set(names)) == 30
    assert splits.classes == splits.train.classes == test.classes == ("a", "b")
    for images, expected in ((splits.train, [12, 6]), (splits.val, [4, 2]), (test, [4, 2])):
        assert np.bincount(images.labels).tolist() == expected
        assert images.batch().shape == (len(images), 8, 8, 3)
        for name, label in zip(images.names, images.labels, strict=True):
            assert name.startswith(images.classes[label] + "/")


def test_every_row_holds_the_pixels_of_its_name(write_pool: WritePool) -> None:
    root = write_pool({"a": 9, "b": 9})
    for path in root.glob("*/*.png"):
        Image.open(path).crop((0, 0, 12, 12)).save(path)
    splits = load_data(root, image_size=12)
    for images in (splits.train, splits.val, splits.test.open()):
        for row, name in enumerate(images.names):
            expected = np.asarray(Image.open(root / name))
            np.testing.assert_array_equal(images.batch([row])[0], expected)


def test_own_splits_are_kept(write_pool: WritePool) -> None:
    for split, counts in (("train", (5, 4)), ("valid", (3, 2)), ("test", (2, 1))):
        root = write_pool(dict(zip("ab", counts, strict=True)), name=f"data/{split}").parent
    splits = load_data(root, image_size=8)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [9, 5, 3]
    assert {name.split("/")[0] for name in splits.val.names} == {"valid"}
    assert {name.split("/")[0] for name in splits.test.open().names} == {"test"}


def test_missing_val_is_cut_from_train_only(write_pool: WritePool) -> None:
    root = write_pool({"a": 10, "b": 10}, name="data/train").parent
    write_pool({"a": 2, "b": 3}, name="data/test")
    splits = load_data(root, image_size=8, val=0.3)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [14, 6, 5]
    assert {name.split("/")[0] for name in splits.val.names} == {"train"}


def test_class_named_train_among_others_is_a_class(write_pool: WritePool) -> None:
    splits = load_data(write_pool({"car": 5, "plane": 5, "train": 5}), image_size=8)
    assert splits.classes == ("car", "plane", "train")


def test_hidden_and_other_files_are_ignored(write_pool: WritePool) -> None:
    root = write_pool({"a": 6, "b": 6})
    expected = load_data(root, image_size=8)
    for junk in ("a/.DS_Store", "a/Thumbs.db", "b/notes.txt", "README.md", "a/.hidden.png"):
        (root / junk).write_bytes(b"junk")
    (root / ".cache").mkdir()
    assert load_data(root, image_size=8).fingerprint == expected.fingerprint


def test_suffixes_may_be_upper_case(write_pool: WritePool) -> None:
    root = write_pool({"a": 5, "b": 5})
    (root / "a" / "000.png").rename(root / "a" / "000.PNG")
    splits = load_data(root, image_size=8)
    assert len(splits.train) + len(splits.val) + len(splits.test) == 10


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder: .*nowhere.*expected a folder"):
        load_data(tmp_path / "nowhere", image_size=8)


def test_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least two class folders in .*got none"):
        load_data(tmp_path, image_size=8)


def test_single_class_is_refused(write_pool: WritePool) -> None:
    with pytest.raises(ValueError, match=r"at least two class folders in .*got \['only'\]"):
        load_data(write_pool({"only": 5}), image_size=8)


def test_empty_class_folder_is_named(write_pool: WritePool) -> None:
    with pytest.raises(ValueError, match=r"pool/hollow has no image; expected files"):
        load_data(write_pool({"a": 5, "hollow": 0}), image_size=8)


def test_folder_inside_a_class_is_refused(write_pool: WritePool) -> None:
    root = write_pool({"a": 5, "b": 5})
    (root / "b" / "masks").mkdir()
    with pytest.raises(ValueError, match=r"pool/b must hold images only, got folders \['masks'\]"):
        load_data(root, image_size=8)


@pytest.mark.parametrize("split", ["test", "val"])
def test_different_classes_in_train_and_another_split_are_named(
    write_pool: WritePool, split: str
) -> None:
    root = write_pool({"a": 5, "b": 5}, name="data/train").parent
    for other in ("val", "test"):
        write_pool({"a": 5, ("c" if other == split else "b"): 5}, name=f"data/{other}")
    with pytest.raises(ValueError, match=rf"train and .*{split} must be .* \['b', 'c'\]"):
        load_data(root, image_size=8)


def test_train_without_test_and_two_vals_are_refused(write_pool: WritePool) -> None:
    root = write_pool({"a": 5, "b": 5}, name="data/train").parent
    shutil.copytree(root / "train", root / "val")
    with pytest.raises(ValueError, match="no test folder"):
        load_data(root, image_size=8)
    shutil.copytree(root / "train", root / "valid")
    shutil.copytree(root / "train", root / "test")
    with pytest.raises(ValueError, match="two folders for val"):
        load_data(root, image_size=8)


def test_citrus_decodes_whole(shared_data: Path) -> None:
    splits = load_data(shared_data / "citrus", image_size=64)
    assert splits.classes == ("black_spot", "canker", "greening", "healthy", "melanose")
    assert len(splits.train) + len(splits.val) + len(splits.test) == 609
    counts = sum(
        np.bincount(images.labels) for images in (splits.train, splits.val, splits.test.open())
    )
    assert list(counts) == [171, 163, 204, 58, 13]
    assert splits.train.batch().std() > 20

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from optuna_layerwise.data import Splits, load_data

WritePool = Callable[..., Path]


def assert_equal_splits(first: Splits, second: Splits) -> None:
    assert first.fingerprint == second.fingerprint
    for one, other in (
        (first.train, second.train),
        (first.val, second.val),
        (first.test.open(), second.test.open()),
    ):
        assert one.names == other.names
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.batch(), other.batch())


def test_loading_twice_gives_the_same_splits(write_pool: WritePool) -> None:
    root = write_pool({"a": 10, "b": 10})
    assert_equal_splits(load_data(root, image_size=8), load_data(root, image_size=8))


def test_fingerprint_follows_the_content_and_not_the_place(
    write_pool: WritePool, tmp_path: Path
) -> None:
    root = write_pool({"a": 10, "b": 10})
    copy = shutil.copytree(root, tmp_path / "elsewhere" / "copy")
    assert_equal_splits(load_data(root, image_size=8), load_data(str(copy), image_size=8))


def flip_last_pixel_byte(root: Path) -> None:
    path = root / "a" / "003.png"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # in the checksum of the end marker: Pillow decodes the same pixels
    path.write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        flip_last_pixel_byte,
        lambda root: (root / "a" / "003.png").rename(root / "a" / "099.png"),
        lambda root: (root / "b").rename(root / "c"),
        lambda root: (root / "a" / "009.png").unlink(),
        lambda root: shutil.copy(root / "a" / "000.png", root / "b" / "010.png"),
    ],
    ids=["one byte", "renamed file", "renamed class", "removed file", "added file"],
)
def test_any_change_of_the_data_changes_the_fingerprint(
    write_pool: WritePool, change: Callable[[Path], object]
) -> None:
    root = write_pool({"a": 10, "b": 10})
    before = load_data(root, image_size=8).fingerprint
    change(root)
    assert load_data(root, image_size=8).fingerprint != before


@pytest.mark.parametrize(
    "parameter", [{"split_seed": 1}, {"image_size": 9}, {"val": 0.3}, {"test": 0.3}]
)
def test_any_change_of_the_parameters_changes_the_fingerprint(
    write_pool: WritePool, parameter: dict[str, float]
) -> None:
    root = write_pool({"a": 10, "b": 10})
    before = load_data(root, image_size=8).fingerprint
    changed = load_data(root, **({"image_size": 8} | parameter))
    assert changed.fingerprint != before


def test_fingerprint_of_an_archive_follows_its_pixels_and_labels(tmp_path: Path) -> None:
    images, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
    others = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    found = set()
    for pixel, label in ((0, 0), (1, 0), (0, 1)):
        images[3, 0, 0], labels[0] = pixel, label
        path = tmp_path / "data.npz"
        np.savez(
            path, train_images=images, train_labels=labels, test_images=others, test_labels=labels
        )
        found.add(load_data(path, image_size=8).fingerprint)
    assert len(found) == 3


@pytest.mark.parametrize("budget", [4 * 1024**3, 0], ids=["memory", "mapped"])
def test_no_test_pixel_lies_behind_train_or_val(
    write_pool: WritePool, tmp_path: Path, budget: int
) -> None:
    splits = load_data(
        write_pool({"a": 20, "b": 20}), image_size=8, memory_budget=budget, cache_dir=tmp_path
    )
    test = splits.test.open()
    sealed = {image.tobytes() for image in test.batch()}
    assert len(sealed) == len(test) == 8
    for images in (splits.train, splits.val):
        assert not np.shares_memory(images.pixels, test.pixels)
        reachable = images.pixels
        while isinstance(reachable, np.ndarray):
            rows = reachable.reshape(-1, 8, 8, 3)
            assert len(rows) == len(images)
            assert not sealed & {row.tobytes() for row in rows}
            reachable = reachable.base


BREAK: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "text": lambda path: path.write_text("no image"),
    "dangling link": lambda path: (path.unlink(), path.symlink_to("nowhere.png")),
}


@pytest.mark.parametrize("budget", [4 * 1024**3, 0], ids=["memory", "mapped"])
@pytest.mark.parametrize("damage", BREAK.values(), ids=BREAK.keys())
def test_bad_image_is_named_or_left_out_on_request(
    write_pool: WritePool, tmp_path: Path, damage: Callable[[Path], object], budget: int
) -> None:
    root = write_pool({"a": 10, "b": 10})
    options = {"image_size": 8, "memory_budget": budget, "cache_dir": tmp_path / "cache"}
    whole = load_data(root, **options)
    damage(root / "b" / "004.png")
    with pytest.raises(ValueError, match=r"1 of 20 .* b/004.png .*skip_bad_images=True"):
        load_data(root, **options)
    with pytest.warns(UserWarning, match=r"1 of 20 images .* left out: b/004.png") as caught:
        skipped = load_data(root, skip_bad_images=True, **options)
    assert len(caught) == 1
    for before, after in (
        (whole.train, skipped.train),
        (whole.val, skipped.val),
        (whole.test.open(), skipped.test.open()),
    ):
        kept = [row for row, name in enumerate(before.names) if name != "b/004.png"]
        assert after.names == before.subset(kept).names
        np.testing.assert_array_equal(after.batch(), before.batch(kept))
        np.testing.assert_array_equal(after.labels, before.labels[kept])


def test_warning_counts_all_bad_images_and_names_three(write_pool: WritePool) -> None:
    root = write_pool({"a": 20, "b": 20})
    for index in range(5):
        (root / "a" / f"{index:03}.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="5 of 40") as caught:
        load_data(root, image_size=8, skip_bad_images=True)
    assert len(caught) == 1
    assert str(caught[0].message).count("a/00") == 3


def test_class_without_a_good_training_image_is_refused(write_pool: WritePool) -> None:
    root = write_pool({"a": 20, "b": 5})
    for path in (root / "b").iterdir():
        path.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="5 of 25"),
        pytest.raises(ValueError, match=r"training split has no image of the classes \['b'\]"),
    ):
        load_data(root, image_size=8, skip_bad_images=True)


def test_too_few_images_are_refused(write_pool: WritePool) -> None:
    with pytest.raises(ValueError, match="not enough images to split: 2 images of 2 classes"):
        load_data(write_pool({"a": 1, "b": 1}), image_size=8)


@pytest.mark.parametrize("shares", [(0.0, 0.2), (0.2, 0.0), (0.5, 0.5), (-0.1, 0.2), (0.2, 1.5)])
def test_shares_that_leave_a_split_empty_are_refused(
    write_pool: WritePool, shares: tuple[float, float]
) -> None:
    with pytest.raises(ValueError, match="val and test must be above 0"):
        load_data(write_pool({"a": 5, "b": 5}), image_size=8, val=shares[0], test=shares[1])


def test_image_size_below_one_is_refused(write_pool: WritePool) -> None:
    with pytest.raises(ValueError, match="image_size must be at least 1 .* got 0"):
        load_data(write_pool({"a": 5, "b": 5}), image_size=0)

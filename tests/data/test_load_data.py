from __future__ import annotations

import errno
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from optuna_layerwise.data import Splits, load_data
from optuna_layerwise.data.raw import Part, content_digests, fingerprint

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


def test_a_path_is_never_the_name_of_a_data_set(
    write_pool: WritePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_pool({"a": 10, "b": 10}, name="mnist").parent)
    for folder in (Path("mnist"), "./mnist"):
        assert load_data(folder, image_size=8).classes == ("a", "b")
    with pytest.raises(ValueError, match="mnist needs root"):
        load_data("mnist", image_size=8)


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
    "parameter",
    [
        {"split_seed": 1},
        {"image_size": 9},
        {"val": 0.3},
        {"test": 0.3},
        {"resize": 8},
        {"train_fraction": 0.5},
        {"train_fraction": 0.5, "paper_split": True},
    ],
)
def test_any_change_of_the_parameters_changes_the_fingerprint(
    write_pool: WritePool, parameter: dict[str, float]
) -> None:
    root = write_pool({"a": 10, "b": 10})
    before = load_data(root, image_size=8).fingerprint
    changed = load_data(root, **({"image_size": 8} | parameter))
    assert changed.fingerprint != before


def test_fingerprint_is_that_of_version_0_1(tmp_path: Path) -> None:
    """Studies keep theirs: what came later counts only where it is used."""
    values = {"train": (0, 1), "val": (2, 3), "test": (4, 5)}
    arrays = {
        name: np.stack([np.full((2, 2), value, np.uint8) for value in pair])
        for name, pair in values.items()
    }
    labels = np.array([0, 1])
    parts = {
        name: Part(list(images), labels, tuple(f"{name}/{index}" for index in (0, 1)))
        for name, images in arrays.items()
    }
    parameters = {"image_size": 8, "val": 0.2, "test": 0.2, "split_seed": 0}
    found = fingerprint(("0", "1"), parts, content_digests(parts), parameters)
    assert found == "d11167bacacae35366948dffe49401ab46382e777e87913a843ccd404698ff12"
    stored = {f"{name}_images": images for name, images in arrays.items()}
    np.savez(tmp_path / "x.npz", **stored, **{f"{name}_labels": labels for name in arrays})
    assert load_data(tmp_path / "x.npz", image_size=8).fingerprint == found


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


def test_a_share_of_train_is_nested_and_leaves_val_and_test_alone(write_pool: WritePool) -> None:
    root = write_pool({"a": 50, "b": 30, "c": 5})
    whole, half, tenth = (
        load_data(root, image_size=8, train_fraction=share) for share in (1.0, 0.5, 0.1)
    )
    assert set(tenth.train.names) < set(half.train.names) < set(whole.train.names)
    assert np.bincount(half.train.labels).tolist() == [15, 9, 1]
    assert np.bincount(tenth.train.labels).tolist() == [3, 1, 1]
    for smaller in (half, tenth):
        assert smaller.val.names == whole.val.names
        assert smaller.test.open().names == whole.test.open().names
    with pytest.raises(ValueError, match="train_fraction must be above 0 and at most 1, got 1.5"):
        load_data(root, image_size=8, train_fraction=1.5)


def test_the_papers_split_has_its_sizes_and_warns_of_classes_that_splits_lack(
    write_pool: WritePool,
) -> None:
    root = write_pool({"a": 60, "b": 37, "rare": 1})
    lacking = 0
    for seed in range(3):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            splits = load_data(
                root, image_size=8, train_fraction=0.05, paper_split=True, split_seed=seed
            )
        assert [len(splits.train), len(splits.val), len(splits.test)] == [4, 19, 75]
        said = [str(warning.message) for warning in caught]
        parts = {"training": splits.train, "validation": splits.val, "test": splits.test.open()}
        for name, images in parts.items():
            present = [splits.classes[label] for label in np.unique(images.labels)]
            if missing := [label for label in splits.classes if label not in present]:
                lacking += name == "training"
                text = f"the {name} split has no image of the classes {missing}"
                assert said.pop(0).startswith(text)
        assert not said
    assert lacking


def test_the_papers_split_needs_one_pool_and_something_to_test(write_pool: WritePool) -> None:
    with pytest.raises(ValueError, match="paper_split cuts one pool .* its own train, val, test"):
        load_data("digits", image_size=8, paper_split=True, train_fraction=0.2)
    with pytest.raises(ValueError, match="train_fraction 1 and val 0.2 of 20 images: 20 to train"):
        load_data(write_pool({"a": 10, "b": 10}), image_size=8, paper_split=True)


def test_resize_below_the_image_size_is_refused(write_pool: WritePool) -> None:
    with pytest.raises(ValueError, match=r"resize must be at least image_size \(8\), got 7"):
        load_data(write_pool({"a": 5, "b": 5}), image_size=8, resize=7)


def test_resize_reaches_the_pixels_in_memory_and_on_disk(
    write_pool: WritePool, tmp_path: Path
) -> None:
    root = write_pool({"a": 10, "b": 10}, side=40)
    plain = load_data(root, image_size=8)
    wide, mapped = (
        load_data(root, image_size=8, resize=20, memory_budget=budget, cache_dir=tmp_path / "c")
        for budget in (4 * 1024**3, 0)
    )
    assert_equal_splits(wide, mapped)
    assert wide.train.names == plain.train.names
    assert not np.array_equal(wide.train.batch(), plain.train.batch())


def test_test_images_that_were_trained_on_are_counted(write_pool: WritePool) -> None:
    root = write_pool({"a": 10, "b": 10}, name="data/train").parent
    write_pool({"a": 4, "b": 3}, name="data/test")
    load_data(root, image_size=8)
    for index in (1, 3):
        shutil.copy(root / "train/a" / f"00{index}.png", root / "test/a" / f"00{index}.png")
    expected = (
        "2 of 7 test images have the same content .*: test/a/001.png = train/a/001.png, test"
    )
    with pytest.warns(UserWarning, match=expected) as caught:
        load_data(root, image_size=8)
    assert len(caught) == 1


def test_a_full_disk_is_one_error_and_leaves_no_cache(
    write_pool: WritePool, tiny_disk: Callable[[int], Path]
) -> None:
    root, cache = write_pool({"a": 40, "b": 40}), tiny_disk(100_000)
    with pytest.raises(OSError, match=r"no space left for the decoded images in .*cache_dir") as e:
        load_data(root, image_size=64, memory_budget=0, cache_dir=cache)
    assert e.value.errno == errno.ENOSPC
    assert list(cache.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "n"), [("busi", 780), ("citrus", 609), ("rsmas", 620), ("ham_bal", 1271)]
)
def test_real_images_have_the_papers_sizes(shared_data: Path, folder: str, n: int) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the training split has no image|.*the same content as")
        splits = load_data(
            shared_data / folder, image_size=8, train_fraction=0.05, paper_split=True
        )
    sizes = [n * 5 // 100, n // 5, n - n * 5 // 100 - n // 5]
    assert [len(splits.train), len(splits.val), len(splits.test)] == sizes

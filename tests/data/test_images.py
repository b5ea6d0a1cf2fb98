from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from optuna_layerwise.data import Images, SealedImages


def make(n: int = 6, pixels: np.ndarray | None = None) -> Images:
    if pixels is None:
        pixels = np.arange(n * 2 * 2 * 3, dtype=np.uint8).reshape(n, 2, 2, 3)
    return Images(pixels, np.arange(n) % 2, ("a", "b"), tuple(map(str, range(n))))


@pytest.mark.parametrize(
    "indices",
    [[3, 1, 1], np.array([5, 0]), slice(1, 4), np.arange(6) % 2 == 0, [], [-1]],
    ids=["repeats", "array", "slice", "mask", "nothing", "negative"],
)
def test_subset_and_batch_agree_with_numpy_indexing(indices: object) -> None:
    images = make()
    assert isinstance(images.pixels, np.ndarray)
    subset = images.subset(indices)
    assert len(subset) == len(images.pixels[indices])
    np.testing.assert_array_equal(images.batch(indices), images.pixels[indices])
    np.testing.assert_array_equal(subset.batch(), images.pixels[indices])
    np.testing.assert_array_equal(subset.labels, images.labels[indices])
    assert subset.names == tuple(np.array(images.names)[indices])
    assert subset.pixels.shape == subset.batch().shape


def test_subset_of_a_subset_is_the_composed_subset() -> None:
    images = make()
    twice = images.subset([5, 3, 1]).subset([2, 0])
    np.testing.assert_array_equal(twice.batch(), images.batch([1, 5]))
    np.testing.assert_array_equal(twice.pixels[[1]], images.batch([5]))
    assert twice.names == ("1", "5")


def test_subset_of_a_memory_map_reads_nothing(tmp_path: Path) -> None:
    huge = 200_000_000_000  # a sparse file larger than memory: reading it whole would fail
    path = tmp_path / "pixels.u8"
    with open(path, "wb") as file:
        file.truncate(huge)
    pixels = np.memmap(path, np.uint8, "r", shape=(2, huge // 6, 1, 3))
    subset = Images(pixels, np.array([0, 1]), ("a", "b"), ("x", "y")).subset([1])
    assert subset.pixels.shape == (1, huge // 6, 1, 3)


def test_batch_is_a_writable_copy() -> None:
    images = make()
    batch = images.batch([0])
    batch[:] = 255
    assert images.batch([0]).max() < 255
    whole = images.batch()
    whole[:] = 255
    assert images.batch([0]).max() < 255


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixels": np.zeros((2, 4, 4, 3), np.float32)}, "uint8"),
        ({"pixels": np.zeros((2, 3, 4, 4), np.uint8)}, "H, W, 3"),
        ({"labels": np.array([0, 1, 0])}, "int64 .2."),
        ({"labels": np.array([0.0, 1.0])}, "int64"),
        ({"labels": np.array([0, 2])}, "0 to 1 .2 classes., got 0 to 2"),
        ({"labels": np.array([0, -1])}, "got -1 to 0"),
        ({"names": ("x",)}, "2 names"),
    ],
)
def test_fields_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {
        "pixels": np.zeros((2, 4, 4, 3), np.uint8),
        "labels": np.array([0, 1]),
        "classes": ("a", "b"),
        "names": ("x", "y"),
    }
    with pytest.raises(ValueError, match=message):
        Images(**(fields | change))


def test_sealed_images_show_only_their_length() -> None:
    images = make()
    sealed = SealedImages(images)
    assert len(sealed) == 6 and repr(sealed) == "<6 sealed images>"
    assert [name for name in dir(sealed) if not name.startswith("_")] == ["open"]
    assert not hasattr(sealed, "__dict__")
    assert sealed.open() is images


def test_sealed_images_survive_pickling() -> None:
    copy = pickle.loads(pickle.dumps(SealedImages(make())))
    np.testing.assert_array_equal(copy.open().batch(), make().batch())

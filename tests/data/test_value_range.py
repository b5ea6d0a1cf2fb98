"""Images of more than 8 bits are scaled by the range of their whole data set."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optuna_layerwise.data import Splits, load_data

pytestmark = pytest.mark.filterwarnings("ignore:.*have more than 8 bits")
SIDE = 8


def save_16_bit_colour_png(path: Path, pixels: np.ndarray) -> None:
    """Pillow writes 16-bit PNG in grey only, so this one is put together from its chunks."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + name + data
        content += struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(content)


def save_16_bit_colour_tiff(path: Path, pixels: np.ndarray) -> None:
    """An uncompressed TIFF: header, ten tags, bits per sample and the pixels."""
    height, width = pixels.shape[:2]
    data, n = pixels.astype("<u2").tobytes(), 10
    bits = 8 + 2 + n * 12 + 4
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, bits), (259, 3, 1, 1)]
    tags += [(262, 3, 1, 2), (273, 4, 1, bits + 6), (277, 3, 1, 3), (278, 4, 1, height)]
    tags += [(279, 4, 1, len(data)), (284, 3, 1, 1)]
    table = struct.pack("<H", n) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 8) + table + bytes(4) + struct.pack("<3H", 16, 16, 16) + data
    )


def save_big_endian(path: Path, pixels: np.ndarray) -> None:
    size = pixels.shape[::-1]
    Image.frombytes("I;16B", size, pixels.astype(">u2").tobytes()).save(path)


def save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path)


def write_folder(
    root: Path, images: Sequence[np.ndarray], suffix: str, save: Callable[..., None] = save
) -> Path:
    for index, pixels in enumerate(images):
        folder = root / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        save(folder / f"{index:02}{suffix}", pixels)
    return root


def by_name(splits: Splits) -> dict[str, np.ndarray]:
    every = [splits.train, splits.val, splits.test.open()]
    return {
        Path(name).stem.split("/")[-1]: images.batch([row])[0]
        for images in every
        for row, name in enumerate(images.names)
    }


def noise(low: float, high: float, dtype: str, n: int = 20, channels: int = 0) -> np.ndarray:
    """Images whose lowest and highest value are ``low`` and ``high``, in two different ones."""
    shape = (n, SIDE, SIDE, channels) if channels else (n, SIDE, SIDE)
    images = np.random.default_rng(0).uniform(low, high, shape).astype(dtype)
    images[0].flat[0], images[-1].flat[5] = low, high
    return images


def expected(image: np.ndarray, low: float, high: float) -> np.ndarray:
    grey = np.round((image.astype(float) - low) / (high - low) * 255).astype(np.uint8)
    return grey if grey.ndim == 3 else np.stack([grey] * 3, axis=-1)


@pytest.mark.parametrize(
    ("suffix", "writer", "dtype", "low", "high"),
    [
        (".png", save, "uint16", 0, 4095),
        (".png", save, "uint16", 27_000, 31_000),  # a thermal camera
        (".png", save, "uint16", 0, 65_535),
        (".tif", save, "uint16", 0, 4095),
        (".tif", save_big_endian, "uint16", 0, 4095),
        (".tif", save, "int32", -1024, 3071),  # Hounsfield units
        (".tif", save, "int32", 0, 1_000_000),
        (".tif", save, "float32", 0.0, 1.0),
        (".tif", save, "float32", -2.5, 700.25),
    ],
)
def test_the_lowest_value_of_the_data_set_becomes_0_and_the_highest_255(
    tmp_path: Path, suffix: str, writer: Callable[..., None], dtype: str, low: float, high: float
) -> None:
    images = noise(low, high, dtype)
    splits = load_data(write_folder(tmp_path / "x", images, suffix, writer), image_size=SIDE)
    for name, pixels in by_name(splits).items():
        np.testing.assert_array_equal(pixels, expected(images[int(name)], low, high))
    assert f"are {low:.10g} to {high:.10g} over all splits" in splits.notices[0]


@pytest.mark.parametrize(
    ("suffix", "writer"), [(".png", save_16_bit_colour_png), (".tif", save_16_bit_colour_tiff)]
)
def test_16_bit_colour_of_which_only_upper_bytes_can_be_read_is_said(
    tmp_path: Path, suffix: str, writer: Callable[..., None]
) -> None:
    images = noise(0, 65_535, "uint16", channels=3)
    root = write_folder(tmp_path / "x", images, suffix, writer)
    with pytest.warns(UserWarning, match="20 of 20 images hold 16-bit colour"):
        splits = load_data(root, image_size=SIDE)
    for name, pixels in by_name(splits).items():
        np.testing.assert_array_equal(pixels, images[int(name)] >> 8)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint16", 0, 4095),
        (">u2", 5, 1023),
        ("int8", -128, 127),
        ("int16", -1024, 3071),
        ("int64", 0, 255),
        ("uint32", 0, 2**32 - 1),
        ("float16", 0.0, 1.0),
        ("float32", 0.0, 255.0),
        ("float64", -1.0, 1.0),
    ],
)
@pytest.mark.parametrize("channels", [0, 3])
def test_arrays_of_any_number_are_scaled(
    tmp_path: Path, dtype: str, low: float, high: float, channels: int
) -> None:
    images, labels = noise(low, high, dtype, channels=channels), np.arange(20) % 2
    np.savez(
        tmp_path / "x.npz",
        train_images=images[:14],
        train_labels=labels[:14],
        test_images=images[14:],
        test_labels=labels[14:],
    )
    splits = load_data(tmp_path / "x.npz", image_size=SIDE)
    for split, first in ((splits.train, 0), (splits.val, 0), (splits.test.open(), 14)):
        for row, name in enumerate(split.names):
            image = images[first + int(name.split("/")[1])]
            np.testing.assert_array_equal(split.batch([row])[0], expected(image, low, high))


@pytest.mark.filterwarnings("error")
def test_black_and_white_arrays_are_black_and_white_without_a_word(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (20, SIDE, SIDE)).astype(bool)
    labels = np.arange(20) % 2
    np.savez(
        tmp_path / "x.npz",
        train_images=bits,
        train_labels=labels,
        test_images=~bits,
        test_labels=labels,
    )
    test = load_data(tmp_path / "x.npz", image_size=SIDE).test.open()
    np.testing.assert_array_equal(test.batch()[..., 0], ~bits * np.uint8(255))


def test_a_share_of_train_and_another_split_give_an_image_the_same_pixels(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "x", noise(0, 4095, "uint16"), ".png")
    whole = by_name(load_data(root, image_size=SIDE))
    for options in ({"train_fraction": 0.2}, {"split_seed": 1}):
        for name, pixels in by_name(load_data(root, image_size=SIDE, **options)).items():
            np.testing.assert_array_equal(pixels, whole[name])


def test_another_range_is_another_data_set_also_on_disk(tmp_path: Path) -> None:
    """Only an image that a share of train leaves out differs, and it decides the scale."""
    images, cache = noise(0, 4095, "uint16", 40), tmp_path / "cache"

    def load(budget: int = 0) -> Splits:
        return load_data(
            tmp_path / "x",
            image_size=SIDE,
            train_fraction=0.2,
            memory_budget=budget,
            cache_dir=cache,
        )

    write_folder(tmp_path / "x", images, ".png")
    first = load()
    left_out = next(i for i in range(40) if f"{i:02}" not in by_name(first))
    images[left_out].flat[0] = 65_535
    write_folder(tmp_path / "x", images, ".png")
    second = load()
    assert first.fingerprint != second.fingerprint and len(list(cache.iterdir())) == 2
    np.testing.assert_array_equal(second.train.batch(), load(2**30).train.batch())
    assert second.train.batch().max() < 17


def test_8_bit_images_among_others_stay_as_they_are(tmp_path: Path) -> None:
    deep, flat = noise(0, 4095, "uint16"), noise(10, 200, "uint8", 6)
    root = write_folder(tmp_path / "x", deep, ".png")
    for index, pixels in enumerate(flat):
        save(root / "a" / f"flat{index}.png", pixels)
    splits = load_data(root, image_size=SIDE)
    found = by_name(splits)
    for index, pixels in enumerate(flat):
        np.testing.assert_array_equal(found[f"flat{index}"][..., 0], pixels)
    np.testing.assert_array_equal(found["07"], expected(deep[7], 0, 4095))
    assert splits.notices[0].startswith("20 of 26 images have more than 8 bits")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_with_nan_or_infinity_is_named_and_can_be_left_out(
    tmp_path: Path, value: float
) -> None:
    images = noise(0, 1, "float32")
    images[6, 2, 2] = value
    root = write_folder(tmp_path / "x", images, ".tif")
    with pytest.raises(ValueError, match=r"1 of 20 .*a/06.tif .*1 of its 64 values are NaN"):
        load_data(root, image_size=SIDE)
    with pytest.warns(UserWarning, match="left out: a/06.tif"):
        splits = load_data(root, image_size=SIDE, skip_bad_images=True)
    np.testing.assert_array_equal(by_name(splits)["07"], expected(images[7], 0, 1))


def test_floats_beside_wide_integers_are_refused_by_name(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "x", noise(0, 4095, "uint16"), ".png")
    save(root / "b" / "float.tif", noise(0, 1, "float32")[0])
    with pytest.raises(ValueError, match=r"floats \(b/float.tif\) and others integers"):
        load_data(root, image_size=SIDE)


@pytest.mark.filterwarnings("ignore:.*have the same content")
def test_equal_values_everywhere_are_black(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "x", np.full((20, SIDE, SIDE), 900, np.uint16), ".png")
    assert not load_data(root, image_size=SIDE).train.batch().any()


@pytest.mark.parametrize("orientation", [3, 6])
def test_exif_orientation_of_a_16_bit_image_is_applied(tmp_path: Path, orientation: int) -> None:
    images = noise(0, 4095, "uint16")
    exif = Image.Exif()
    exif[0x0112] = orientation

    def save_turned(path: Path, pixels: np.ndarray) -> None:
        turned = np.rot90(pixels, {3: 2, 6: 1}[orientation])
        Image.fromarray(np.ascontiguousarray(turned)).save(path, exif=exif.tobytes())

    root = write_folder(tmp_path / "x", images, ".png", save_turned)
    found = by_name(load_data(root, image_size=SIDE))
    np.testing.assert_array_equal(found["05"], expected(images[5], 0, 4095))

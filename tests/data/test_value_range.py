"""Images of more than 8 bits are scaled by the range of their whole data set."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optuna_layerwise.data import Splits, load_data

pytestmark = pytest.mark.filterwarnings("ignore:.*have more than 8 bits")
SIDE = 8


def save_png(path: Path, pixels: np.ndarray, key: Sequence[int] = ()) -> None:
    """Pillow writes 16-bit PNG in grey only, so this one is put together from its chunks."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    chunks += [(b"tRNS", struct.pack(f">{len(key)}H", *key))] if key else []
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        content += struct.pack(">I", len(data)) + name + data
        content += struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(content)


def save_tiff(
    path: Path,
    pixels: np.ndarray,
    order: str = "<",
    planes: int = 1,
    compression: int = 1,
    photometric: int | None = None,
    extra: int | None = None,
) -> None:
    """A TIFF of any number of channels; in one strip, or one for each of the planes."""
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    height, width, channels = pixels.shape
    pieces = [pixels] if planes == 1 else list(pixels.transpose(2, 0, 1))
    strips = [p.astype(pixels.dtype.newbyteorder(order)).tobytes() for p in pieces]
    if compression == 8:
        strips = [zlib.compress(strip) for strip in strips]
    bits, kind = pixels.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    if photometric is None:
        photometric = 2 if channels > 2 else 1
    values: dict[int, tuple[str, list[int]]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * channels),
        259: ("H", [compression]),
        262: ("H", [photometric]),
        273: ("I", [0] * len(strips)),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", [len(strip) for strip in strips]),
        284: ("H", [planes]),
        **({} if extra is None else {338: ("H", [extra])}),
        339: ("H", [kind] * channels),
    }
    start = 8 + 2 + 12 * len(values) + 4
    room = sum(len(of) * struct.calcsize(code) for code, of in values.values() if len(of) > 1)
    places = [start + room + 4 + sum(map(len, strips[:i])) for i in range(len(strips))]
    values[273] = ("I", places)
    table, beyond = struct.pack(order + "H", len(values)), b""
    for tag, (code, of) in values.items():
        packed = struct.pack(f"{order}{len(of)}{code}", *of)
        table += struct.pack(order + "HHI", tag, {"H": 3, "I": 4}[code], len(of))
        if len(packed) <= 4:
            table += packed.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", start + len(beyond))
            beyond += packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    content = (head + table + bytes(4) + beyond).ljust(places[0], b"\0")
    path.write_bytes(content + b"".join(strips))


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
        (".tif", save_tiff, "int8", -128, 127),
        (".tif", save_tiff, "uint32", 5, 2**32 - 1),
        (".tif", partial(save_tiff, compression=8, order=">"), "int16", -1024, 3071),
        (".tif", partial(save_tiff, compression=8, order=">"), "int32", -1024, 70_000),
        (".tif", partial(save_tiff, compression=8, order=">"), "float32", -2.5, 700.25),
        (".tif", partial(save_tiff, order=">"), "float32", -2.5, 700.25),
        (".pgm", save, "uint16", 0, 4095),
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
    ("suffix", "writer"),
    [
        (".png", save_png),
        (".tif", save_tiff),
        (".tif", partial(save_tiff, order=">")),
        (".tif", partial(save_tiff, planes=2)),
        (".tif", partial(save_tiff, planes=2, order=">")),
        (".tif", partial(save_tiff, compression=8)),
        (".tif", partial(save_tiff, compression=8, order=">")),
    ],
)
def test_16_bit_colour_is_scaled_like_grey(
    tmp_path: Path, suffix: str, writer: Callable[..., None]
) -> None:
    images = noise(30, 4095, "uint16", channels=3)
    splits = load_data(write_folder(tmp_path / "x", images, suffix, writer), image_size=SIDE)
    for name, pixels in by_name(splits).items():
        np.testing.assert_array_equal(pixels, expected(images[int(name)], 30, 4095))
    assert "are 30 to 4095 over all splits" in splits.notices[0]


@pytest.mark.parametrize(
    ("suffix", "writer", "channels"),
    [(".png", save_png, 4), (".png", save_png, 2), (".tif", partial(save_tiff, extra=2), 4)],
)
def test_16_bit_opacity_darkens_and_what_it_hides_does_not_count_for_the_range(
    tmp_path: Path, suffix: str, writer: Callable[..., None], channels: int
) -> None:
    images = noise(0, 4095, "uint16", channels=channels)
    images[..., -1] = 65_535
    images[:, 2, 2] = 65_535, *[9] * (channels - 2), 0
    images[:, 3, 3, -1] = 32_768
    splits = load_data(write_folder(tmp_path / "x", images, suffix, writer), image_size=SIDE)
    visible = images[images[..., -1] > 0][:, :-1]
    low, high = visible.min(), visible.max()
    assert f"are {low} to {high} over all splits" in splits.notices[0]
    for name, pixels in by_name(splits).items():
        colour = (images[int(name)][..., :-1] - float(low)) / (float(high) - low) * 255
        colour = colour * images[int(name)][..., -1:] / 65_535
        np.testing.assert_array_equal(pixels, np.round(colour) + np.zeros(3))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_transparent_value_of_a_16_bit_png_is_black(tmp_path: Path, channels: int) -> None:
    images = noise(100, 4095, "uint16", channels=channels)
    images[:, 2, 2], images[:, 4, 4] = 60_000, 100
    writer = partial(save_png, key=[60_000] * channels)
    splits = load_data(write_folder(tmp_path / "x", images, ".png", writer), image_size=SIDE)
    assert "are 100 to 4095 over all splits" in splits.notices[0]
    for name, pixels in by_name(splits).items():
        wanted = expected(images[int(name)].clip(0, 4095), 100, 4095) + np.zeros(3, np.uint8)
        wanted[2, 2] = 0
        np.testing.assert_array_equal(pixels, wanted)


def test_16_bit_images_in_which_0_is_white_are_turned_as_8_bit_ones_are(tmp_path: Path) -> None:
    images = noise(0, 65_535, "uint16")
    writer = partial(save_tiff, photometric=0)
    splits = load_data(write_folder(tmp_path / "x", images, ".tif", writer), image_size=SIDE)
    for name, pixels in by_name(splits).items():
        np.testing.assert_array_equal(pixels, expected(~images[int(name)], 0, 65_535))


def test_16_bit_colour_of_which_only_upper_bytes_can_be_read_is_said(tmp_path: Path) -> None:
    def save_ppm(path: Path, pixels: np.ndarray) -> None:
        path.write_bytes(b"P6 8 8 65535\n" + pixels.astype(">u2").tobytes())

    root = write_folder(tmp_path / "x", noise(0, 4095, "uint16", channels=3), ".ppm", save_ppm)
    with pytest.warns(UserWarning, match="20 of 20 images hold 16-bit colour"):
        splits = load_data(root, image_size=SIDE)
    assert len(splits.notices) == 1


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".webp", ".png"])
def test_images_of_several_pages_or_frames_are_counted(tmp_path: Path, suffix: str) -> None:
    root = write_folder(tmp_path / "x", noise(0, 255, "uint8"), ".png")
    pages = [Image.new("RGB", (SIDE, SIDE), (value, 0, 9)) for value in (200, 100)]
    pages[0].save(root / "a" / f"pages{suffix}", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match=f"1 of 21 images have several .*a/pages{suffix}"):
        splits = load_data(root, image_size=SIDE)
    assert len(splits.notices) == 1
    assert by_name(splits)["pages"][0, 0, 0] > 190


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

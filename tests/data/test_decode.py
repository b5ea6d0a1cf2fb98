from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from optuna_layerwise.data.decode import decode
from optuna_layerwise.data.formats import SUFFIXES

COLOUR = (200, 30, 90)
UNWRITTEN = {"BLP", "MSP", "XBM", "FITS"}  # not in RGB, or with a handler only
FORMAT = Image.registered_extensions()
WRITTEN = [s for s in SUFFIXES if FORMAT[s] in Image.SAVE and FORMAT[s] not in UNWRITTEN]


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(300, 400, 224), (401, 299, 224), (20, 31, 64), (500, 101, 33), (232, 232, 224), (8, 8, 32)],
)
def test_geometry_is_torchvisions_resize_232_and_crop_224(
    tmp_path: Path, height: int, width: int, size: int
) -> None:
    image = Image.fromarray(noise(height, width))
    reference = transforms.Compose(
        [transforms.Resize(round(size * 232 / 224), antialias=True), transforms.CenterCrop(size)]
    )
    decoded = decode(saved(tmp_path / "x.png", image), size)
    np.testing.assert_array_equal(decoded, np.asarray(reference(image)))


@pytest.mark.parametrize(("height", "width"), [(300, 400), (401, 299), (224, 224), (40, 60)])
def test_a_given_resize_is_what_weights_of_torchvision_are_evaluated_with(
    tmp_path: Path, height: int, width: int
) -> None:
    image = Image.fromarray(noise(height, width))
    path = saved(tmp_path / "x.png", image)
    for resize in (224, 232, 256):
        reference = transforms.Compose(
            [transforms.Resize(resize, antialias=True), transforms.CenterCrop(224)]
        )
        decoded = decode(path, 224, resize=resize)
        np.testing.assert_array_equal(decoded, np.asarray(reference(image)))


def test_image_of_the_wanted_size_is_taken_as_it_is(tmp_path: Path) -> None:
    pixels = noise(24, 24)
    np.testing.assert_array_equal(
        decode(saved(tmp_path / "x.png", Image.fromarray(pixels)), 24), pixels
    )


def test_grey_array_gets_three_equal_channels() -> None:
    pixels = noise(8, 8, 1)[..., 0]
    np.testing.assert_array_equal(decode(pixels, 8), np.stack([pixels] * 3, axis=-1))


@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_suffix_decodes_to_its_colour(tmp_path: Path, suffix: str) -> None:
    mode, colour = ("L", (90, 90, 90)) if suffix == ".pgm" else ("RGB", COLOUR)
    path = saved(tmp_path / f"x{suffix}", Image.new("RGB", (40, 30), colour).convert(mode))
    decoded = decode(path, 16)
    assert decoded.shape == (16, 16, 3) and decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - colour).max() <= 4  # lossy formats


@pytest.mark.parametrize("suffix", WRITTEN)
def test_truncated_file_of_every_suffix_is_refused(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(noise(64, 64))
    path = saved(tmp_path / f"x{suffix}", image.convert("L") if suffix == ".pgm" else image)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises((OSError, SyntaxError, EOFError, ValueError)):
        decode(path, 16)


def test_empty_file_and_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").touch()
    with pytest.raises(ValueError, match="empty .0 bytes"):
        decode(tmp_path / "x.jpg", 16)
    (tmp_path / "y.jpg").write_text("not an image")
    with pytest.raises(OSError, match="cannot identify"):
        decode(tmp_path / "y.jpg", 16)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".jpg", 4), (".tif", 0)])
def test_cmyk_becomes_rgb(tmp_path: Path, suffix: str, tolerance: int) -> None:
    path = saved(tmp_path / f"x{suffix}", Image.new("RGB", (16, 16), COLOUR).convert("CMYK"))
    assert np.abs(decode(path, 16).astype(int) - COLOUR).max() <= tolerance


def test_palette_index_becomes_its_colour(tmp_path: Path) -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, *COLOUR])
    assert (decode(saved(tmp_path / "x.png", image), 16) == COLOUR).all()


def test_bilevel_image_becomes_black_and_white(tmp_path: Path) -> None:
    bits = np.indices((16, 16)).sum(axis=0) % 2 == 1
    decoded = decode(saved(tmp_path / "x.png", Image.fromarray(bits)), 16)
    np.testing.assert_array_equal(decoded, np.stack([bits * np.uint8(255)] * 3, axis=-1))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited_on_black(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGB", (16, 16), (200, 200, 200)).convert(mode)
    alpha = Image.new("L", (16, 16), 255)
    alpha.paste(0, (0, 0, 8, 8))
    alpha.paste(128, (8, 8, 16, 16))
    image.putalpha(alpha)
    decoded = decode(saved(tmp_path / "x.png", image), 16)
    assert (decoded[:8, :8] == 0).all()
    assert (decoded[:8, 8:] == 200).all()
    assert (np.abs(decoded[8:, 8:].astype(int) - 100) <= 1).all()


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_transparent_palette_entry_becomes_black(
    tmp_path: Path, transparency: int | bytes
) -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([10, 20, 30, *COLOUR])
    image.paste(0, (0, 0, 8, 16))
    decoded = decode(saved(tmp_path / "x.png", image, transparency=transparency), 16)
    assert (decoded[:, :8] == (10, 20, 30)).all()
    assert (decoded[:, 8:] == 0).all()


def test_transparent_colour_key_becomes_black(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 16), COLOUR)
    image.paste((9, 9, 9), (0, 0, 8, 16))
    decoded = decode(saved(tmp_path / "x.png", image, transparency=COLOUR), 16)
    assert (decoded[:, :8] == 9).all()
    assert (decoded[:, 8:] == 0).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = noise(16, 16)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(
        tmp_path / "x.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif.tobytes()
    )
    np.testing.assert_array_equal(decode(path, 16), upright)


def test_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (16, 16), COLOUR), Image.new("RGB", (16, 16), (0, 0, 255))
    path = saved(tmp_path / "x.webp", first, save_all=True, append_images=[second], lossless=True)
    assert (decode(path, 16) == COLOUR).all()

"""Which files are images: all formats that Pillow decodes by itself."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageFile

USUAL: tuple[str, ...] = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "AVIF")
"""The formats that are also known by their content, whatever the suffix; tried first."""
_NEVER = {
    "EPS",  # decoded by an external program, Ghostscript
    "MPO",  # several pictures in one file; a photo of this kind that ends in .jpg is a JPEG
    "MPEG",  # a film, of which Pillow reads the size only
    "IM",  # Pillow gives it up
}


def _decoded_by_pillow() -> dict[str, str]:
    """Suffix to format, without those that Pillow only writes, or hands on to other programs."""
    found = Image.registered_extensions()  # fills Image.OPEN
    return {
        suffix: name
        for suffix, name in sorted(found.items())
        if name in Image.OPEN and name not in _NEVER and not _is_stub(Image.OPEN[name][0])
    }


def _is_stub(reader: object) -> bool:
    """Whether a format needs a handler from elsewhere, such as WMF and HDF5."""
    return isinstance(reader, type) and issubclass(reader, ImageFile.StubImageFile)


_FORMAT_OF = _decoded_by_pillow()
SUFFIXES: tuple[str, ...] = tuple(_FORMAT_OF)
"""Suffixes of images, in lower case."""
_OTHERS = sorted(set(_FORMAT_OF.values()).difference(USUAL))
FORMATS: tuple[str, ...] = tuple(name for name in [*USUAL, *_OTHERS] if name in Image.OPEN)
"""The formats that are decoded, the usual ones first."""


def has_image_suffix(path: Path) -> bool:
    """Whether a file's name ends like that of an image, in upper or lower case."""
    return path.suffix.lower() in _FORMAT_OF


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix or, in the usual formats, by its content."""
    if path.exists() and not path.is_file():  # a pipe or a socket, which may never answer
        return False
    if has_image_suffix(path):
        return True
    try:
        with Image.open(path, formats=[name for name in USUAL if name in FORMATS]):
            return True
    except Exception:  # Pillow documents no list of what foreign files raise
        return False

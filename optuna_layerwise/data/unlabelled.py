"""New images, without labels: files, folders, and tables that name files. And new texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from optuna_layerwise.data.folder import JUNK_FILES, JUNK_FOLDERS
from optuna_layerwise.data.formats import is_image
from optuna_layerwise.data.locate import locator, why_missing
from optuna_layerwise.data.present import TABLES
from optuna_layerwise.data.rows import read_rows


def find_images(
    places: Iterable[Path], *, column: str = "image", image_root: Sequence[Path] = ()
) -> dict[str, Path]:
    """The name of each image to its file, in order; an image that is named twice counts once.

    Args:
        places: Image files; folders, whose images are those anywhere below them; and tables
            (``.csv``, ``.tsv``) with a row for each image.
        column: The column of a table that names the image.
        image_root: Folders of the images that do not lie beside their table.

    Returns:
        Files and folders as they were given, with what is below them, and the cells of tables.

    Raises:
        FileNotFoundError: if a file or folder does not exist, or images of a table do not.
        ValueError: if a folder has no image, or a table is broken.
    """
    found: dict[str, Path] = {}
    for place in places:
        if place.is_dir():
            files = list(_below(place))
            if not files:
                raise ValueError(
                    f"the folder {place} has no image: expected images that Pillow decodes, such "
                    "as .jpg, .png or .tif, in it or in folders below it"
                )
            found.update((str(file), file) for file in files)
        elif not place.exists():
            raise FileNotFoundError(f"no such image, folder or table: {str(place)!r}")
        elif place.suffix.lower() in TABLES:
            found.update(_of_table(place, column, image_root))
        else:
            found[str(place)] = place
    return found


def find_texts(
    places: Iterable[Path], *, column: str = "text", pair: str | None = None
) -> dict[str, tuple[str, ...]]:
    """What each text, or pair of texts, is called in the results, to it; in order, each once.

    Args:
        places: Tables (``.csv``, ``.tsv``) with a row for each text, and ``.txt`` files with a
            text in each line that is not blank.
        column: The column of a table that has the text.
        pair: The column that has the second text of each pair.

    Raises:
        FileNotFoundError: if a file does not exist.
        ValueError: if it is something else, or broken.
    """
    found: dict[str, tuple[str, ...]] = {}
    for place in places:
        if not place.is_file():
            raise FileNotFoundError(f"no such file of texts: {str(place)!r}")
        if place.suffix.lower() in TABLES:
            named = {"text": column, "label": None, "group": pair}
            rows = read_rows(place, named, item="text")
            items = [(row.item,) if row.group is None else (row.item, row.group) for row in rows]
        elif place.suffix.lower() == ".txt" and pair is None:
            lines = place.read_text(encoding="utf-8").splitlines()
            items = [(line.strip(),) for line in lines if line.strip()]
        else:
            expected = ".csv or .tsv" if pair else ".csv, .tsv or .txt"
            raise ValueError(f"texts must be in a file {expected}, got {str(place)!r}")
        found.update((" | ".join(item), item) for item in items)
    return found


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".")
        if path.is_dir():
            if not hidden and path.name.lower() not in JUNK_FOLDERS:
                yield from _below(path)
        elif not hidden and path.name.lower() not in JUNK_FILES and is_image(path):
            yield path


def _of_table(path: Path, column: str, image_root: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    locate = locator(path.parent, image_root)
    rows = read_rows(path, {"image": column, "label": None})
    files = {row.item: locate(row.item) for row in rows}
    if missing := [row for row in rows if len(files[row.item]) != 1]:
        first = missing[0]
        raise FileNotFoundError(
            f"{len(missing)} of {len(rows)} images of {path} are not there, or may be several "
            f"files: {first.item} (line {first.line}). {why_missing(first.item)}"
        )
    for name, [file] in files.items():
        yield name, file

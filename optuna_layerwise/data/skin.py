"""HAM10000 and ISIC 2020 as they are published: a table of image ids and folders of images.

Images of one lesion (HAM10000) or patient (ISIC 2020) stay in one split, unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from optuna_layerwise.data.locate import by_stem
from optuna_layerwise.data.notices import notice
from optuna_layerwise.data.raw import RawData
from optuna_layerwise.data.rows import read_rows
from optuna_layerwise.data.table import table_data


@dataclass(frozen=True)
class SkinTable:
    """Names of a set's table, the better one first, of its columns, and where to get it."""

    files: tuple[str, ...]
    image: str
    label: str
    group: str
    page: str


SKIN: dict[str, SkinTable] = {
    "ham10000": SkinTable(
        files=("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata"),
        image="image_id",
        label="dx",
        group="lesion_id",
        page="https://doi.org/10.7910/DVN/DBW86T",
    ),
    "isic2020": SkinTable(
        files=(
            "ISIC_2020_Training_GroundTruth_v2.csv",
            "ISIC_2020_Training_GroundTruth.csv",
            "train.csv",
        ),
        image="image_name",
        label="benign_malignant",
        group="patient_id",
        page="https://challenge2020.isic-archive.com",
    ),
}
"""Name to how the set is published. They cannot be downloaded by this package."""


def read_skin(name: str, *, root: Path | None, group_by: str | None = "auto") -> RawData:
    """Read a set of ``SKIN``; its images may lie anywhere below ``root``.

    Raises:
        FileNotFoundError: if the table or images of it are missing.
        ValueError: if ``root`` is missing or the table is not as expected.
    """
    row = SKIN[name]
    if root is None:
        raise ValueError(
            f"{name} needs root (--data-root): the folder with {row.files[0]} and the images, "
            f"from {row.page}"
        )
    table = next((root / file for file in row.files if (root / file).is_file()), None)
    if table is None:
        raise FileNotFoundError(
            f"{name} is not in {root.absolute()}: expected {' or '.join(row.files)} and, beside "
            f"or in folders below it, the images; get them from {row.page} and unpack them there"
        )
    group = row.group if group_by == "auto" else group_by
    rows = read_rows(table, {"image": row.image, "label": row.label, "group": group})
    files = _images(root)
    return table_data(table, rows, lambda image: files.get(image, ()), group or "")


def _images(root: Path) -> dict[str, list[Path]]:
    """Image id to its one file, the first in the order of their paths."""
    found = by_stem(root.rglob("*"))
    again = [path for paths in found.values() for path in paths[1:]]
    if again:
        first = min(again)
        notice(
            f"{len(again)} images below {root} have the name of another, which is taken instead: "
            f"{first} is left, {found[first.stem][0]} is taken",
        )
    return {stem: paths[:1] for stem, paths in found.items()}

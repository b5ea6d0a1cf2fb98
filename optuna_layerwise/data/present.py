"""Whether a source is there, seen from its name alone, before anything heavy is imported."""

from __future__ import annotations

import os
from pathlib import Path

from optuna_layerwise.data.names import DATA_NAMES

ARCHIVES = (".npz",)
TABLES = (".csv", ".tsv", ".tab")
NOT_READ = {
    "save its sheet as CSV (UTF-8)": (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"),
    "unpack it": (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"),
    "write it as a .csv": (".parquet", ".feather", ".json", ".jsonl", ".txt", ".pkl"),
    "put its arrays into a .npz": (".npy", ".h5", ".hdf5", ".mat", ".pt"),
}
"""What to do with files of other kinds."""
_EXPECTED = (
    "a folder of class folders, a folder with train, val and test folders, a .csv or .npz "
    "file, or the name of a data set as docs/data.md has it, such as 'cifar10' or 'digits'"
)


def check_present(source: str | os.PathLike[str]) -> None:
    """Refuse what is no name of a data set, no folder, and no file of a kind that is read.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if it is no path, or a file of another kind.
    """
    said = os.fspath(source)
    if not said.strip():
        raise ValueError("the data are named by an empty text; pass a folder, file or name")
    if "://" in said:
        raise ValueError(f"{said} is an address; download the data and pass where they lie")
    if source in DATA_NAMES:
        return
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix in (*ARCHIVES, *TABLES):
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {str(path)!r} (looked for {path.absolute()})")
    elif path.is_file():
        todo = next((todo for todo, kinds in NOT_READ.items() if suffix in kinds), "")
        raise ValueError(
            f"{path} is a file of a kind that is not read; expected {_EXPECTED}"
            + (f". To use it, {todo}" if todo else "")
        )
    elif not path.is_dir():
        raise FileNotFoundError(
            f"no such folder: {str(path)!r} (looked for {path.absolute()}); expected {_EXPECTED}"
        )

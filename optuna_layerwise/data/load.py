"""`load_data`: any source of images to three splits of decoded ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import platformdirs

from optuna_layerwise.data.data_sources import Source, read_source
from optuna_layerwise.data.decode import Decoding
from optuna_layerwise.data.examples import Splits
from optuna_layerwise.data.images import Images
from optuna_layerwise.data.names import GROUP_RULE
from optuna_layerwise.data.notices import kept_notices
from optuna_layerwise.data.prepare import prepared
from optuna_layerwise.data.raw import Part
from optuna_layerwise.data.store import Decoded, decode_in_memory, decode_to_disk
from optuna_layerwise.data.tokens import Tokenizing
from optuna_layerwise.data.value_range import value_range
from optuna_layerwise.recipe import TaskName


def load_data(
    source: Source,
    *,
    image_size: int,
    resize: int | None = None,
    val: float = 0.2,
    test: float = 0.2,
    split_seed: int = 0,
    train_fraction: float = 1.0,
    paper_split: bool = False,
    group_by: str | None = "auto",
    group_rule: int = GROUP_RULE,
    columns: Mapping[str, str] | None = None,
    task: TaskName = "classification",
    image_root: Source | Sequence[Source] = (),
    root: Source | None = None,
    download: bool = False,
    skip_bad_images: bool = False,
    memory_budget: int = 4 * 1024**3,
    cache_dir: Source | None = None,
) -> Splits:
    """Load, split and decode a data set, each image once.

    Args:
        source: A folder of class folders; a folder with ``train``, ``test`` and perhaps ``val``
            folders of class folders; a MedMNIST-style ``.npz``; a ``.csv`` with a row per image;
            or one of ``DATA_NAMES``, such as ``cifar10`` or ``digits`` (a folder of that name is
            ``./digits`` or a ``Path``).
        image_size: Side of the decoded images in pixels; see `decode`.
        resize: What the short side becomes before the centre is cropped, such as 232 for 224;
            ``None`` for that proportion, with images of the right size left alone.
        val: Share of the validation split: of the pool, or of train where only a test split
            exists. Unused where the source has its own.
        test: Share of the pool's test split; unused where the source has its own.
        split_seed: Seed of the stratified splits.
        train_fraction: Stratified share of the training split to train on; the images of a
            smaller share are among those of a larger one, validation and test stay the same.
        paper_split: Cut a pool as REVO-Tune does, not stratified: ``train_fraction`` and ``val``
            of all images, rounded down, and the rest to test. Classes may then be missing.
        group_by: Column of the table whose groups (lesions, patients) stay in one split. ``auto``
            is ``group`` for a table with that column, or else the coarsest that by its name has
            patients, lesions, slides or the like and from which splits can be made, with a
            warning; ``lesion_id`` for HAM10000, ``patient_id`` for ISIC 2020, and nothing
            otherwise or with ``paper_split``. ``None`` is nothing.
        group_rule: What ``auto`` means for a table: 1 as in studies of earlier versions, where
            ``group`` was the only name that was known.
        columns: What a table calls ``image``, ``label`` and ``split``.
        task: What the labels of a table are. ``classification``: a class. ``multilabel``: a cell
            of names with ``;`` between, which may be empty, or several columns of 0 and 1.
            ``regression``: one or several columns of numbers. The names of several columns stand
            in ``columns["label"]``, with commas between.
        image_root: Folder, or folders, below which the images of a table lie.
        root: Folder that holds the data sets that go by name.
        download: Let torchvision download into ``root`` what is not there.
        skip_bad_images: Leave out images that cannot be decoded, with one warning, instead of
            raising. The other images keep their splits.
        memory_budget: Bytes of pixels to hold in memory; larger data sets are memory-mapped.
        cache_dir: Where memory-mapped data sets lie, by fingerprint; default a folder of the
            user's cache directory.

    Raises:
        ConnectionError: if the data cannot be downloaded.
        FileNotFoundError: if the source does not exist.
        OSError: if no space is left for what is downloaded or decoded.
        ValueError: if the source is not as expected, has too few images or bad ones, or does not
            take one of the options.

    Examples:
        >>> splits = load_data("digits", image_size=8)
        >>> splits.classes, len(splits.train), len(splits.val)
        (('5', '6', '7', '8', '9'), 50, 100)
    """
    if paper_split and group_by not in ("auto", None):
        raise ValueError(
            f"paper_split draws single images, so that groups of {group_by!r} cannot stay "
            "together; leave one of the two out"
        )
    if isinstance(image_root, (str, os.PathLike)):
        image_root = [image_root]
    image_roots = tuple(Path(folder).expanduser() for folder in image_root)
    with kept_notices() as said_of_source:
        raw = read_source(
            source,
            seed=split_seed,
            root=None if root is None else Path(root).expanduser(),
            download=download,
            columns=columns,
            task=task,
            image_root=image_roots,
            group_by=group_by,
            group_rule=group_rule,
        )
    if image_size < raw.least_size:
        raise ValueError(
            f"image_size must be at least {raw.least_size} for {source}, got {image_size}"
        )
    reader = ImageReader(
        image_size,
        resize,
        skip_bad=skip_bad_images,
        memory_budget=memory_budget,
        cache_dir=cache_dir,
    )
    places = [place for place in (source, root, *image_roots) if place is not None]
    return prepared(
        raw,
        reader,
        os.fspath(source),
        val=val,
        test=test,
        split_seed=split_seed,
        notices=said_of_source,
        places=places,
        paper_split=paper_split,
        group_rule=group_rule,
        train_fraction=train_fraction,
    )


class ImageReader:
    """Reads images; see `Reader`.

    Args:
        image_size: Side of the decoded images in pixels; see `decode`.
        resize: See `load_data`.
        skip_bad: Leave out images that cannot be decoded.
        memory_budget: See `load_data`.
        cache_dir: See `load_data`.

    Raises:
        ValueError: if ``resize`` is smaller than the images.
    """

    makes = Images

    def __init__(
        self,
        image_size: int,
        resize: int | None = None,
        *,
        skip_bad: bool = False,
        memory_budget: int = 4 * 1024**3,
        cache_dir: Source | None = None,
    ) -> None:
        if resize is not None and resize < image_size:
            raise ValueError(f"resize must be at least image_size ({image_size}), got {resize}")
        self.decoding: Decoding | Tokenizing | None = Decoding(image_size, resize)
        self.skip_bad, self._memory_budget, self._cache_dir = skip_bad, memory_budget, cache_dir

    def parameters(self, parts: Iterable[Part]) -> Mapping[str, float]:
        """See `Reader`."""
        assert isinstance(self.decoding, Decoding)
        image_size, resize = self.decoding.image_size, self.decoding.resize
        found: dict[str, float] = {"image_size": image_size}
        if resize is not None:  # absent, so that studies that never knew it keep their fingerprint
            found["resize"] = resize
        if (scale := value_range(parts)) is not None:
            found |= {"lowest_value": scale[0], "highest_value": scale[1]}
        self.decoding = Decoding(image_size, resize, scale)
        return found

    def read(self, parts: Mapping[str, Part], key: str) -> Mapping[str, Decoded]:
        """See `Reader`."""
        assert isinstance(self.decoding, Decoding)
        n_bytes = sum(map(len, parts.values())) * self.decoding.image_size**2 * 3
        if n_bytes <= self._memory_budget:
            return decode_in_memory(parts, self.decoding)
        cache = platformdirs.user_cache_path("optuna-layerwise") / "images"
        folder = (Path(self._cache_dir) if self._cache_dir is not None else cache) / key
        return decode_to_disk(parts, self.decoding, folder=folder)

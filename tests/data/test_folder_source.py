from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from optuna_layerwise.data import load_data

WritePool = Callable[..., Path]
CORALS = ("ACER", "APAL", "CNAT", "DANT", "DSTR", "GORG", "MALC")
CORALS += ("MCAV", "MMEA", "MONT", "PALY", "SPO", "SSID", "TUNI")


def test_pool_is_split_into_three_disjoint_stratified_splits(write_pool: WritePool) -> None:
    splits = load_data(write_pool({"a": 20, "b": 10}), image_size=8)
    test = splits.test.open()
    names = [*splits.train.names, *splits.val.names, *test.names]
    assert len(names) == len(set(names)) == 30
    assert splits.classes == splits.train.classes == test.classes == ("a", "b")
    for images, expected in ((splits.train, [12, 6]), (splits.val, [4, 2]), (test, [4, 2])):
        assert np.bincount(images.labels).tolist() == expected
        assert images.batch().shape == (len(images), 8, 8, 3)
        for name, label in zip(images.names, images.labels, strict=True):
            assert name.startswith(images.classes[label] + "/")


def test_every_row_holds_the_pixels_of_its_name(write_pool: WritePool) -> None:
    root = write_pool({"a": 9, "b": 9})
    for path in root.glob("*/*.png"):
        Image.open(path).crop((0, 0, 12, 12)).save(path)
    splits = load_data(root, image_size=12)
    for images in (splits.train, splits.val, splits.test.open()):
        for row, name in enumerate(images.names):
            expected = np.asarray(Image.open(root / name))
            np.testing.assert_array_equal(images.batch([row])[0], expected)


def test_own_splits_are_kept(write_pool: WritePool) -> None:
    for split, counts in (("train", (5, 4)), ("valid", (3, 2)), ("test", (2, 1))):
        root = write_pool(dict(zip("ab", counts, strict=True)), name=f"data/{split}").parent
    splits = load_data(root, image_size=8)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [9, 5, 3]
    assert {name.split("/")[0] for name in splits.val.names} == {"valid"}
    assert {name.split("/")[0] for name in splits.test.open().names} == {"test"}


def test_missing_val_is_cut_from_train_only(write_pool: WritePool) -> None:
    root = write_pool({"a": 10, "b": 10}, name="data/train").parent
    write_pool({"a": 2, "b": 3}, name="data/test")
    splits = load_data(root, image_size=8, val=0.3)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [14, 6, 5]
    assert {name.split("/")[0] for name in splits.val.names} == {"train"}


def test_class_named_train_among_others_is_a_class(write_pool: WritePool) -> None:
    splits = load_data(write_pool({"car": 5, "plane": 5, "train": 5}), image_size=8)
    assert splits.classes == ("car", "plane", "train")


def test_hidden_and_other_files_are_ignored(write_pool: WritePool) -> None:
    root = write_pool({"a": 6, "b": 6})
    expected = load_data(root, image_size=8)
    for junk in ("a/.DS_Store", "a/Thumbs.db", "README.md", "a/.hidden.png"):
        (root / junk).write_bytes(b"junk")
    (root / ".cache").mkdir()
    assert load_data(root, image_size=8).fingerprint == expected.fingerprint


def test_images_are_known_by_their_content_and_what_else_is_left_out_is_counted(
    write_pool: WritePool,
) -> None:
    root = write_pool({"a": 6, "b": 6})
    for index, name in enumerate(("x.jfif", "x.jpe", "x.avif", "no_suffix", "x.001")):
        kind = "AVIF" if name.endswith("avif") else "JPEG"
        Image.new("RGB", (12, 12), (index, 9, 9)).save(root / "a" / name, kind)
    (root / "b" / "notes.txt").write_text("seen by me")
    with pytest.warns(UserWarning, match="1 files of the class 'b' are no images .* notes.txt"):
        splits = load_data(root, image_size=8)
    assert len(splits.train) + len(splits.val) + len(splits.test) == 17
    assert len(splits.notices) == 1


def test_suffixes_may_be_upper_case(write_pool: WritePool) -> None:
    root = write_pool({"a": 5, "b": 5})
    (root / "a" / "000.png").rename(root / "a" / "000.PNG")
    splits = load_data(root, image_size=8)
    assert len(splits.train) + len(splits.val) + len(splits.test) == 10


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder: .*nowhere.*expected a folder"):
        load_data(tmp_path / "nowhere", image_size=8)


def test_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least two class folders in .*got none"):
        load_data(tmp_path, image_size=8)


def test_single_class_is_refused(write_pool: WritePool) -> None:
    with pytest.raises(ValueError, match=r"at least two class folders in .*got \['only'\]"):
        load_data(write_pool({"only": 5}), image_size=8)


def test_empty_class_folders_make_no_class_and_are_named(write_pool: WritePool) -> None:
    with pytest.raises(ValueError, match=r"got \['a'\] and the empty \['hollow'\]"):
        load_data(write_pool({"a": 5, "hollow": 0}), image_size=8)
    root = write_pool({"a": 5, "b": 5, "hollow": 0, "void": 0}, name="more")
    with pytest.warns(UserWarning, match="are empty and make no class: hollow, void"):
        splits = load_data(root, image_size=8)
    assert splits.classes == ("a", "b")
    assert len(splits.notices) == 1
    (root / "void" / "scan.dcm").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"more/void has no image, only files such as scan.dcm"):
        load_data(root, image_size=8)


def test_a_class_without_images_to_train_on_is_refused_and_without_test_images_said(
    write_pool: WritePool,
) -> None:
    root = write_pool({"a": 9, "b": 9, "c": 9}, name="data/train").parent
    write_pool({"a": 3, "b": 3, "c": 0}, name="data/test")
    with pytest.warns(UserWarning, match=r"test split has no image of the classes \['c'\]"):
        assert len(load_data(root, image_size=8).test) == 6
    (root / "train").rename(root / "old")
    (root / "test").rename(root / "train")
    (root / "old").rename(root / "test")
    with pytest.raises(ValueError, match=r"no image to train on of the classes \['c'\]"):
        load_data(root, image_size=8)


def test_classes_that_look_alike_are_pointed_out_once(
    write_pool: WritePool, tmp_path: Path
) -> None:
    names = ("Cat", "cat", "dog", "dog ", "caf\u00e9", "cafe\u0301", "ox")
    root = write_pool(dict.fromkeys(names, 5))
    with pytest.warns(UserWarning) as warned:
        splits = load_data(root, image_size=8)
    assert len(splits.classes) == len(names)
    (said,) = splits.notices
    assert len(warned) == 1
    for pair in ("'Cat' and 'cat'", "'dog' and 'dog '", r"'cafe\u0301' and 'caf\xe9'"):
        assert pair in said
    assert "ox" not in said
    lines = [f"pool/{name}/{i:03}.png,{name}" for name in ("Cat", "cat", "ox") for i in range(5)]
    (tmp_path / "table.csv").write_text("\n".join(["image,label", *lines]), encoding="utf-8")
    with pytest.warns(UserWarning, match="'Cat' and 'cat'. If they are one class"):
        assert len(load_data(tmp_path / "table.csv", image_size=8).notices) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("big  cat", r"'big\\x20\\x20cat' and 'big cat'"),
        ("big\u00a0cat", r"'big cat' and 'big\\xa0cat'"),
        ("big \u200bcat", r"'big cat' and 'big \\u200bcat'"),
        ("\ufeffbig cat", r"'big cat' and '\\ufeffbig cat'"),
    ],
)
def test_classes_that_differ_in_what_is_not_seen_are_pointed_out(
    write_pool: WritePool, name: str, said: str
) -> None:
    with pytest.warns(UserWarning, match=said):
        load_data(write_pool({"big cat": 5, name: 5}), image_size=8)


def test_class_folders_that_differ_in_unicode_form_between_splits_are_told_apart(
    write_pool: WritePool,
) -> None:
    root = write_pool({"a": 5, "caf\u00e9": 5}, name="data/train").parent
    write_pool({"a": 5, "cafe\u0301": 5}, name="data/test")
    with pytest.raises(ValueError, match=r"rename one of 'cafe\\u0301' and 'caf\\xe9'"):
        load_data(root, image_size=8)


def test_every_format_that_pillow_decodes_by_itself_is_an_image_and_no_other(
    write_pool: WritePool,
) -> None:
    root = write_pool({"a": 6, "b": 6})
    for suffix in (".jp2", ".tga", ".PCX", ".sgi", ".ico", ".qoi", ".dib", ".pnm"):
        Image.new("RGB", (16, 16), (9, 90, 9)).save(root / "a" / f"x{suffix}")
    for name in ("x.eps", "x.pdf", "x.mpg", "x.wmf", "x.h5"):
        (root / "b" / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (root / "b" / "000.png").rename(root / "b" / "000.TIFF")
    (root / "a" / "link.png").symlink_to(root / "b" / "001.png")
    with pytest.warns(UserWarning, match="5 files of the class 'b' are no images"):
        splits = load_data(root, image_size=8, val=0.4)
    assert len(splits.train) + len(splits.val) + len(splits.test) == 12 + 8 + 1


def test_what_programs_leave_behind_is_ignored(write_pool: WritePool) -> None:
    root = write_pool({"a": 6, "b": 6})
    expected = load_data(root, image_size=8)
    for folder in (
        "$RECYCLE.BIN",
        "lost+found",
        "@eaDir",
        "a/@eaDir",
        "System Volume Information",
    ):
        (root / folder).mkdir()
        (root / folder / "x.dat").touch()
    (root / "a" / "Icon\r").touch()
    assert load_data(root, image_size=8).fingerprint == expected.fingerprint


def test_images_in_no_class_folder_and_links_to_nowhere_are_said(write_pool: WritePool) -> None:
    root = write_pool({"train/a": 6, "train/b": 6, "test/a": 3, "test/b": 3}, name="data")
    shutil.copy(root / "train" / "a" / "000.png", root / "loose.png")
    shutil.copy(root / "train" / "a" / "000.png", root / "train" / "other.png")
    (root / "train" / "c").symlink_to(root / "gone")
    with pytest.warns(UserWarning):
        said = load_data(root, image_size=8).notices
    assert [text.partition(" in ")[0] for text in said] == [
        "1 images lie",
        "1 images lie",
        "these links",
    ]
    assert "loose.png" in said[0] and "other.png" in said[1] and said[2].endswith("class: c")


def test_a_pipe_or_socket_is_no_image(write_pool: WritePool, monkeypatch: Any) -> None:
    root = write_pool({"a": 6, "b": 6})
    monkeypatch.chdir(root / "a")  # the name of a socket may have 100 characters
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("x.png")
    with pytest.warns(UserWarning, match="1 files of the class 'a' are no images"):
        assert len(load_data(root, image_size=8).test) == 2


def test_classes_that_validation_or_test_lacks_are_said(write_pool: WritePool) -> None:
    with pytest.warns(UserWarning):
        splits = load_data(write_pool({"a": 30, "b": 2, "c": 1}), image_size=8)
    assert [text.partition(":")[0] for text in splits.notices] == [
        "the validation split has no image of the classes ['c']",
        "the test split has no image of the classes ['b', 'c']",
    ]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train/a", "train/b", "eval/a", "eval/b"), r"'train', beside \['eval'\]"),
        (("train/a", "train/b", "test"), "or move this one away, and training images"),
        (("data/a", "data/b"), r"there are some in .*root/data: pass that"),
    ],
)
def test_a_layout_that_is_nearly_right_says_what_to_do(
    write_pool: WritePool, folders: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_data(write_pool(dict.fromkeys(folders, 3), name="root"), image_size=8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("t.xlsx", "not read; .* To use it, save its sheet as CSV"),
        ("t.zip", "not read; .* To use it, unpack it"),
        ("t.png", "t.png is a file of a kind that is not read"),
        ("", "named by an empty text"),
        ("https://example.org/t.csv", "is an address; download the data"),
    ],
)
def test_what_is_no_folder_says_what_to_do(
    tmp_path: Path, name: str, message: str, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    if name.startswith("t."):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(ValueError, match=message):
        load_data(name, image_size=8)


def test_folder_inside_a_class_is_refused(write_pool: WritePool) -> None:
    root = write_pool({"a": 5, "b": 5})
    (root / "b" / "masks").mkdir()
    with pytest.raises(ValueError, match=r"pool/b must hold images only, got folders \['masks'\]"):
        load_data(root, image_size=8)


@pytest.mark.parametrize("split", ["test", "val"])
def test_different_classes_in_train_and_another_split_are_named(
    write_pool: WritePool, split: str
) -> None:
    root = write_pool({"a": 5, "b": 5}, name="data/train").parent
    for other in ("val", "test"):
        write_pool({"a": 5, ("c" if other == split else "b"): 5}, name=f"data/{other}")
    with pytest.raises(ValueError, match=rf"train and .*{split} must be .* \['b', 'c'\]"):
        load_data(root, image_size=8)


@pytest.mark.parametrize(
    ("train", "other", "own"),
    [
        ("train", "val", "val"),
        ("Train", "Validation", "val"),
        ("Training", "Testing", "test"),
        ("TRAIN", "Test", "test"),
        ("training_set", "test-set", "test"),
        ("train_images", "dev", "val"),
    ],
)
def test_usual_names_of_split_folders_are_known_and_a_missing_test_split_is_said(
    write_pool: WritePool, train: str, other: str, own: str
) -> None:
    root = write_pool({"a": 20, "b": 20}, name=f"data/{train}").parent
    write_pool({"a": 3, "b": 4}, name=f"data/{other}")
    (root / "__MACOSX").mkdir()
    if own == "val":
        with pytest.warns(UserWarning, match="no test split: 8 of their training images"):
            splits = load_data(root, image_size=8)
        assert [len(splits.train), len(splits.val), len(splits.test)] == [32, 7, 8]
        assert len(splits.notices) == 1
    else:
        splits = load_data(root, image_size=8)
        assert [len(splits.train), len(splits.val), len(splits.test)] == [32, 8, 7]


def test_two_folders_for_val_are_refused(write_pool: WritePool) -> None:
    root = write_pool({"a": 5, "b": 5}, name="data/train").parent
    shutil.copytree(root / "train", root / "val")
    shutil.copytree(root / "train", root / "valid")
    shutil.copytree(root / "train", root / "test")
    with pytest.raises(ValueError, match="two folders for val"):
        load_data(root, image_size=8)


@pytest.mark.slow
def test_citrus_decodes_whole(shared_data: Path) -> None:
    splits = load_data(shared_data / "citrus", image_size=64)
    assert splits.classes == ("black_spot", "canker", "greening", "healthy", "melanose")
    assert len(splits.train) + len(splits.val) + len(splits.test) == 609
    counts = sum(
        np.bincount(images.labels) for images in (splits.train, splits.val, splits.test.open())
    )
    assert list(counts) == [171, 163, 204, 58, 13]
    assert splits.train.batch().std() > 20


def copy_images(write_pool: WritePool, layout: dict[str, tuple[str, int]], root: str) -> Path:
    """Class folders with files named by a pattern, as a published set has them."""
    folder = write_pool({label: count for label, (_, count) in layout.items()}, name=root)
    for label, (pattern, count) in layout.items():
        for index in range(count):
            (folder / label / f"{index:03}.png").rename(folder / label / pattern.format(index + 1))
    return folder


def test_busi_is_read_as_published_without_its_masks(write_pool: WritePool) -> None:
    layout = {name: (name + " ({}).png", 10) for name in ("benign", "malignant", "normal")}
    root = copy_images(write_pool, layout, "Dataset_BUSI_with_GT")
    plain = load_data(root, image_size=8)
    for image in list(root.glob("*/*.png")):
        Image.new("1", (12, 15)).save(image.with_name(f"{image.stem}_mask.png"))
    Image.new("1", (12, 15)).save(root / "benign" / "benign (4)_mask_1.png")
    with pytest.warns(UserWarning, match=r"31 files of .* masks .* benign/benign \(1\)_mask.png"):
        splits = load_data(root, image_size=8)
    assert splits.fingerprint == plain.fingerprint
    assert splits.classes == ("benign", "malignant", "normal")
    assert len(splits.train) + len(splits.val) + len(splits.test) == 30


def test_an_image_that_is_only_called_a_mask_is_an_image(write_pool: WritePool) -> None:
    root = write_pool({"a": 6, "b": 6})
    (root / "a" / "000.png").rename(root / "a" / "venetian_mask.png")
    splits = load_data(root, image_size=8)
    assert len(splits.train) + len(splits.val) + len(splits.test) == 12


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("root", "layout"),
    [
        (
            "Citrus/Leaves",
            {
                "Black spot": ("b{}.png", 17),
                "Melanose": ("m{}.png", 5),
                "canker": ("c{}.png", 16),
                "greening": ("g{}.png", 20),
                "healthy": ("h{}.png", 6),
            },
        ),
        (
            "StructureRSMAS",
            {species: (species + "_{}.png", 5 + place) for place, species in enumerate(CORALS)},
        ),
    ],
)
def test_leaves_and_corals_are_read_as_published(
    write_pool: WritePool, root: str, layout: dict[str, tuple[str, int]]
) -> None:
    splits = load_data(copy_images(write_pool, layout, root), image_size=8)
    assert splits.classes == tuple(layout)
    images = (splits.train, splits.val, splits.test.open())
    found = sum(np.bincount(part.labels, minlength=len(layout)) for part in images)
    assert found.tolist() == [count for _, count in layout.values()]

"""Tables of images: ``.csv`` files, HAM10000 and ISIC 2020."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optuna_layerwise.data import Splits, load_data

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a table of the given lines, and an image for each first cell that ends in .png."""

    def write_lines(*lines: str, name: str = "table.csv") -> Path:
        for line in lines:
            make_image(tmp_path / line.split(",")[0])
        (tmp_path / name).write_text("\n".join([*lines, ""]))
        return tmp_path / name

    return write_lines


def make_image(path: Path, suffix: str = ".png") -> None:
    """An image of one colour, which its name decides."""
    if path.suffix == suffix and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour(path.stem)).save(path, comment=path.stem)


def colour(name: str) -> tuple[int, int, int]:
    number = int("".join(filter(str.isdigit, name)))
    return 2 * (number % 100), 2 * (number // 100), ord(name[0])


def rows(n: int = 20, more: str = "") -> list[str]:
    return [f"{'ab'[i % 2]}{i}.png,{'ab'[i % 2]}{more.format(i=i)}" for i in range(n)]


def everything(splits: Splits) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name of each image to its class and the colour of its middle."""
    return {
        name: (part.classes[label], tuple(image[4, 4].tolist()))
        for part in (splits.train, splits.val, splits.test.open())
        for name, label, image in zip(part.names, part.labels, part.batch(), strict=True)
    }


def names(splits: Splits) -> list[set[str]]:
    return [set(part.names) for part in (splits.train, splits.val, splits.test.open())]


def test_rows_keep_their_pixels_and_labels_and_are_split(write: Write) -> None:
    splits = load_data(write("image,label", *rows()), image_size=8)
    assert splits.classes == ("a", "b")
    assert [len(part) for part in names(splits)] == [12, 4, 4]
    found = everything(splits)
    assert len(found) == 20
    for name, (label, pixel) in found.items():
        assert (label, pixel) == (name[0], colour(name.removesuffix(".png")))


def test_columns_may_have_other_names_and_stand_anywhere(write: Write, tmp_path: Path) -> None:
    plain = load_data(write("image,label", *rows()), image_size=8)
    lines = [f"{row.split(',')[0]},7,{row.split(',')[1]}" for row in rows()]
    other = write("file,age,dx", *lines, name="other.csv")
    splits = load_data(other, columns={"image": "file", "label": "dx"}, image_size=8)
    assert splits.fingerprint == plain.fingerprint
    semicolons = (tmp_path / "other.csv").read_text().replace(",", ";")
    (tmp_path / "semicolons.csv").write_text(semicolons)
    splits = load_data(
        tmp_path / "semicolons.csv", columns={"image": "file", "label": "dx"}, image_size=8
    )
    assert splits.fingerprint == plain.fingerprint
    tabs = (tmp_path / "other.csv").read_text().replace(",", "\t")
    (tmp_path / "other.tsv").write_text("\ufeff" + tabs, encoding="utf-8")
    splits = load_data(
        tmp_path / "other.tsv", columns={"image": "file", "label": "dx"}, image_size=8
    )
    assert splits.fingerprint == plain.fingerprint


def test_numbers_as_labels_are_classes_in_their_order(write: Write) -> None:
    lines = [f"a{i}.png,{(1, 2, 10)[i % 3]}" for i in range(15)]
    assert load_data(write("image,label", *lines), image_size=8).classes == ("1", "2", "10")


def test_a_split_column_is_kept(write: Write) -> None:
    lines = rows(20, ",{i}")
    places = {0: "test", 1: "test", 2: "valid", 3: "Validation"}
    lines = [
        ",".join([*line.split(",")[:2], places.get(i, "train")]) for i, line in enumerate(lines)
    ]
    splits = load_data(write("image,label,split", *lines), image_size=8)
    assert names(splits)[1:] == [{"a2.png", "b3.png"}, {"a0.png", "b1.png"}]
    assert len(splits.train) == 16


def test_a_split_column_without_val_has_val_cut_from_train(write: Write) -> None:
    lines = [f"{row},{'test' if i < 4 else 'train'}" for i, row in enumerate(rows(24))]
    path = write("image,label,part", *lines)
    splits = load_data(path, columns={"split": "part"}, image_size=8)
    assert [len(part) for part in names(splits)] == [16, 4, 4]
    assert names(splits)[2] == {"a0.png", "b1.png", "a2.png", "b3.png"}


def grouped(n: int = 90, more: str = "") -> list[str]:
    """Rows of images that belong together by three, with their group."""
    return [
        f"{'ab'[i // 3 % 2]}{i}.png,{'ab'[i // 3 % 2]},g{i // 3}" + more.format(i=i)
        for i in range(n)
    ]


def divided(splits: Splits, size: int = 3) -> bool:
    """Whether images that belong together are in several splits."""
    one, two, three = ({int(name[1:-4]) // size for name in part} for part in names(splits))
    return bool(one & two or one & three or two & three)


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    "column",
    [
        "group",
        "patient",
        "Lesion-ID",
        "Case ID",
        "slide_id",
        "Patients",
        "MRN",
        "anon_patient_key",
    ],
)
def test_columns_that_look_like_groups_stay_together_and_not_on_request(
    write: Write, column: str
) -> None:
    path = write(f"image,label,{column}", *grouped())
    with pytest.warns(UserWarning, match=f"column '{column}' .* has 30; --group-by none"):
        splits = load_data(path, image_size=8)
    assert not divided(splits)
    assert len(splits.notices) == 1
    assert not divided(load_data(path, group_by=column, image_size=8))
    assert divided(load_data(path, group_by=None, image_size=8))
    assert divided(load_data(path, paper_split=True, train_fraction=0.5, image_size=8))


@pytest.mark.parametrize("column", ["site", "plant_ID", "StudyInstanceUID"])
def test_a_column_that_only_may_name_groups_is_mentioned(write: Write, column: str) -> None:
    path = write(f"image,label,{column}", *grouped())
    with pytest.warns(
        UserWarning, match=rf"of 30 of '{column}'.* --group-by {column} \(group_by="
    ):
        splits = load_data(path, image_size=8)
    assert divided(splits)
    assert len(splits.notices) == 1


def test_ids_of_classes_are_no_groups(write: Write) -> None:
    lines = [line.replace(",a,g", ",a,1#").replace(",b,g", ",b,2#") for line in grouped()]
    path = write("image,label,class_id", *(line.partition("#")[0] for line in lines))
    assert not load_data(path, image_size=8).notices


def test_groups_that_differ_in_case_only_are_one(write: Write) -> None:
    lines = [line.replace(",g", ",G") if i % 2 else line for i, line in enumerate(grouped())]
    path = write("image,label,patient", *lines)
    with pytest.warns(UserWarning, match="'patient' .* has 30"):
        assert not divided(load_data(path, image_size=8))


def test_of_several_group_columns_the_coarsest_that_can_be_split_is_taken(write: Write) -> None:
    lines = grouped(90, ",p{i}")
    lines = [line[: line.rindex(",")] + f",p{i // 9},all{i // 60}" for i, line in enumerate(lines)]
    with pytest.warns(UserWarning) as warned:
        splits = load_data(write("image,label,lesion,patient,donor", *lines), image_size=8)
    assert not divided(splits, 9)
    few, taken, *_ = splits.notices
    assert "the 2 groups of the column 'donor' are too few" in few
    assert "'patient' looks like groups and has 10" in taken and "'lesion'" in taken
    assert len(warned) == len(splits.notices) == 2


@pytest.mark.parametrize(("value", "said"), [("p{i}", 0), ("p", 0), ("p{half}", 1), ("", 0)])
def test_a_group_column_that_gives_no_splits_is_not_used(
    write: Write, value: str, said: int
) -> None:
    lines = [row + "," + value.format(i=i, half=i // 10) for i, row in enumerate(rows())]
    if value == "":
        lines = [row[:-1] + ",nan" for row in lines]
    path = write("image,label,patient_id", *lines)
    plain = load_data(path, image_size=8, group_by=None)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        splits = load_data(path, image_size=8)
    assert splits.fingerprint == plain.fingerprint
    assert len(warned) == said
    assert all("2 groups of the column 'patient_id' are too few" in str(w.message) for w in warned)


def test_images_without_a_patient_are_groups_of_their_own(write: Write) -> None:
    lines = [line.replace(",g29", ",") for line in grouped()]
    path = write("image,label,patient", *lines)
    with pytest.warns(UserWarning, match="'patient' looks like groups and has 32"):
        load_data(path, image_size=8)


def test_groups_that_the_tables_own_splits_divide_are_said(write: Write) -> None:
    lines = [f"{row},{('train', 'val', 'test')[i % 3]}" for i, row in enumerate(grouped(30))]
    path = write("image,label,lesion_id,split", *lines)
    with pytest.warns(UserWarning, match="10 of 10 of 'lesion_id'.* correct the splits"):
        assert len(load_data(path, image_size=8).notices) == 1


def test_val_cut_from_a_train_split_keeps_groups(write: Write) -> None:
    lines = [
        f"{'ab'[i // 3 % 2]}{i}.png,{'ab'[i // 3 % 2]},g{i // 3},{'test' if i < 30 else 'train'}"
        for i in range(120)
    ]
    with pytest.warns(UserWarning, match="column 'group' looks like groups"):
        splits = load_data(write("image,label,group,split", *lines), image_size=8)
    train, val = ({int(name[1:-4]) // 3 for name in part} for part in names(splits)[:2])
    assert val and not train & val


def test_fingerprint_follows_the_table_and_not_its_place(write: Write, tmp_path: Path) -> None:
    path = write("image,label", *rows())
    before = load_data(path, image_size=8).fingerprint
    (tmp_path / "deep").mkdir()
    for file in [*tmp_path.glob("*.png"), path]:
        file.rename(tmp_path / "deep" / file.name)
    path = tmp_path / "deep" / "table.csv"
    assert load_data(path, image_size=8).fingerprint == before
    path.write_text(path.read_text().replace("a0.png,a", "a0.png,b"))
    assert load_data(path, image_size=8).fingerprint != before


def test_an_image_listed_twice_alike_counts_once_with_a_warning(write: Write) -> None:
    path = write("image,label", *rows(), "a0.png,a", "./b1.png,b")
    with pytest.warns(UserWarning, match=r"2 rows of .*: a0.png \(line 22\), ./b1.png"):
        splits = load_data(path, image_size=8)
    assert len(everything(splits)) == 20


@pytest.mark.parametrize(
    ("header", "row", "again", "message"),
    [
        ("", ",", "a0.png,b", "a0.png in line 2 with the label 'a' and in line 22 with 'b'"),
        (",group", ",g", "a0.png,a,h", "line 2 with the group 'g' and in line 22 with 'h'"),
    ],
)
def test_an_image_listed_twice_differently_is_refused(
    write: Write, header: str, row: str, again: str, message: str
) -> None:
    lines = [line + row.rstrip(",") for line in rows()]
    with pytest.raises(ValueError, match=message):
        load_data(write(f"image,label{header}", *lines, again), image_size=8)


def ids(n: int = 20) -> list[str]:
    """Rows of images without suffixes."""
    return [row.replace(".png", "") for row in rows(n)]


def in_parts(tmp_path: Path, n: int = 20) -> tuple[Path, Path]:
    """Two folders with every second image each."""
    parts = (tmp_path / "images" / "part_1", tmp_path / "images" / "part_2")
    for index, row in enumerate(rows(n)):
        make_image(parts[index % 2] / row.split(",")[0])
    return parts


def labels_and_colours(splits: Splits) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {Path(name).stem: found for name, found in everything(splits).items()}


def test_an_id_is_the_image_of_that_name_with_any_suffix(write: Write, tmp_path: Path) -> None:
    plain = load_data(write("image,label", *rows()), image_size=8)
    path = write("image,label", *ids(), name="ids.csv")
    for index in (0, 2, 4):  # lossless, so that the pixels stay
        image = tmp_path / f"a{index}.png"
        Image.open(image).save(image.with_suffix(".TIFF"))
        image.unlink()
    splits = load_data(path, image_size=8)
    assert labels_and_colours(splits) == labels_and_colours(plain)
    make_image(tmp_path / "a2.bmp", ".bmp")
    with pytest.raises(ValueError, match=r"line 4: a2 may be .*a2.TIFF or .*a2.bmp; write"):
        load_data(path, image_size=8)


def test_images_are_found_below_the_image_roots(write: Write, tmp_path: Path) -> None:
    plain = labels_and_colours(load_data(write("image,label", *rows()), image_size=8))
    for row in rows():
        (tmp_path / row.split(",")[0]).unlink()
    one, two = in_parts(tmp_path)
    by_id, by_name = tmp_path / "ids.csv", tmp_path / "table.csv"
    by_id.write_text("\n".join(["image,label", *ids()]))
    found = [
        load_data(path, image_size=8, image_root=roots)
        for path in (by_id, by_name)
        for roots in ([one, two], str(tmp_path / "images"))
    ]
    assert all(labels_and_colours(splits) == plain for splits in found)
    assert len({splits.fingerprint for splits in found[:2]}) == 1
    with pytest.raises(FileNotFoundError, match=r"20 of 20 .* image_root \(--image-root\)"):
        load_data(by_id, image_size=8)
    with pytest.raises(FileNotFoundError, match="no such folder of images: '.*gone'"):
        load_data(by_id, image_size=8, image_root=[one, tmp_path / "gone"])
    with pytest.raises(ValueError, match="image_root=.* is an option of a table, and"):
        load_data(one.parent, image_size=8, image_root=one)
    (two / "a0.png").write_bytes((one / "a0.png").read_bytes())
    for path in (by_id, by_name):
        with pytest.raises(ValueError, match="line 2: a0.* may be .*part_1.* or .*part_2"):
            load_data(path, image_size=8, image_root=[one, two])


def test_a_folder_in_a_cell_must_be_the_images_own(write: Write, tmp_path: Path) -> None:
    in_parts(tmp_path)
    named = [f"part_{i % 2 + 1}/{row}" for i, row in enumerate(ids())]
    (tmp_path / "table.csv").write_text("\n".join(["image,label", *named]))
    root = tmp_path / "images" / "part_1"
    assert len(everything(load_data(tmp_path / "table.csv", image_size=8, image_root=root.parent)))
    with pytest.raises(FileNotFoundError, match="10 of 20 images .*: part_2/b1"):
        load_data(tmp_path / "table.csv", image_size=8, image_root=root)


def test_names_in_the_other_unicode_form_are_found(tmp_path: Path) -> None:
    for index in range(20):
        make_image(tmp_path / f"cafe\u0301{index}.png")
    lines = ["image,label", *(f"caf\u00e9{i}.png,{'ab'[i % 2]}" for i in range(20))]
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    assert len(everything(load_data(tmp_path / "table.csv", image_size=8))) == 20


def test_backslashes_are_read_as_slashes(write: Write, tmp_path: Path) -> None:
    plain = load_data(write("image,label", *[f"x/{row}" for row in rows()]), image_size=8)
    (tmp_path / "w.csv").write_text((tmp_path / "table.csv").read_text().replace("x/", ".\\x\\"))
    assert load_data(tmp_path / "w.csv", image_size=8).fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("C:\\data\\", r"C:\\data\\a0.png .* of another place: write them as they are from the"),
        ("/elsewhere/", "of another place"),
        ("https://example.org/", "These are addresses: download"),
        ("s3://bucket/", "These are addresses: download"),
    ],
)
def test_images_that_are_elsewhere_are_one_error_with_what_to_do(
    tmp_path: Path, place: str, message: str
) -> None:
    lines = ["image,label", *(place + row for row in rows())]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    with pytest.raises(FileNotFoundError, match=message):
        load_data(tmp_path / "table.csv", image_size=8, image_root=tmp_path)


def test_one_hot_columns_are_labels(write: Write) -> None:
    lines = [row.replace(",a", ",1.0,0.0,0").replace(",b", ",0.0,1.0,0") for row in rows()]
    with pytest.warns(UserWarning, match="the class is the column that is 1"):
        splits = load_data(write("image,MEL,NV,UNK", *lines), image_size=8)
    assert splits.classes == ("MEL", "NV")
    assert {(name[0], label) for name, (label, _) in everything(splits).items()} == {
        ("a", "MEL"),
        ("b", "NV"),
    }
    lines[4] = lines[4].replace("1.0,0.0", "1.0,1.0")
    with pytest.raises(ValueError, match=r"no column 'label'.* MEL, NV, UNK .* in line 6 2 of"):
        load_data(write("image,MEL,NV,UNK", *lines), image_size=8)


def test_a_table_as_spreadsheets_write_it_is_read(write: Write, tmp_path: Path) -> None:
    plain = load_data(write("image,label", *rows()), image_size=8)
    lines = [f"{row},,x".replace(",", "; ") for row in rows()]
    text = "\r\n".join(["image; label; ; note, or so", *lines, ";;;", ";;;", ""])
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "sheet.csv").write_bytes(text.encode(encoding))
        found = load_data(tmp_path / "sheet.csv", image_size=8)
        assert found.fingerprint == plain.fingerprint


def test_labels_that_may_mean_none_and_numbers_written_twice_are_said(write: Write) -> None:
    lines = [f"a{i}.png,{('1', '1.0', 'NA', 'none')[i % 4]}" for i in range(20)]
    with pytest.warns(UserWarning):
        none, numbers = load_data(write("image,label", *lines), image_size=8).notices
    assert none.startswith("the label 'NA' of") and "'1' and '1.0'" in numbers


def test_a_split_may_be_spelled_in_many_ways(write: Write) -> None:
    ways = ("Train", "TRAINING", "train_set", "Val split", "validation", "Test-Data")
    lines = [f"{row},{ways[i // 4]}" for i, row in enumerate(rows(24))]
    splits = load_data(write("image,label,split", *lines), image_size=8)
    assert [len(part) for part in names(splits)] == [12, 8, 4]


BROKEN: dict[str, tuple[list[str], str]] = {
    "no line": ([], "table.csv is empty; expected a line of column names"),
    "no row": (["image,label"], "has column names and no row"),
    "no image column": (
        ["picture,label", *rows()],
        r"no column 'image' for the image; it has \['p",
    ),
    "no label column": (["image,class", *rows()], r"'label' for the label.*--column"),
    "same column twice": (["image,label,label", *rows(20, ",x")], "each column name must occur"),
    "cell too many": (
        ["image,label", *rows(3), "a9.png,a,x"],
        "line 5: expected 2 cells .* got 3",
    ),
    "cell missing": (["image,label", "a0.png", *rows()], "line 2: expected 2 cells .* got 1"),
    "empty label": (["image,label", *rows(2), "a8.png, "], "line 4: the cell of 'label' is empty"),
    "no labels": (
        ["image,label", *rows(2), "a7.png,NaN", "b8.png,"],
        "line 4: the cell of 'label' is 'NaN', and so are 1 others; fill it in, or remove",
    ),
    "open quote": (["image,label", *rows(), 'a9.png,"a'], "line 22 cannot be read .* unexpected"),
    "text after quote": (["image,label", 'a0.png,"a"b', *rows()], "line 2 cannot be read"),
    "one label": (["image,label", "a0.png,a", "a1.png,a"], "at least two labels, got only 'a'"),
    "unknown split": (
        ["image,label,split", *rows(4, ",fold1")],
        "line 2: the split must be .*'fold1'",
    ),
    "no train": (
        ["image,label,split", *rows(4, ",test")],
        r"must have train, got only \['test'\]",
    ),
    "class in train only": (
        ["image,label,split", *rows(8, ",train"), "a8.png,a,test", "a10.png,a,test"],
        "the class 'b' is in the split train only",
    ),
    "class in test only": (
        [
            "image,label,split",
            *rows(8, ",train"),
            "a8.png,a,test",
            "b9.png,b,test",
            "c1.png,c,test",
        ],
        "the class 'c' is in the split test only",
    ),
    "leaking group": (
        [
            "image,label,group,split",
            *rows(8, ",g{i},train"),
            "a8.png,a,g2,test",
            "b9.png,b,g3,test",
        ],
        "2 of 8 groups of the column 'group' are in several splits .*: 'g2' in test, train; 'g3'",
    ),
}


@pytest.mark.parametrize(("lines", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_table_is_one_error_with_its_line(
    write: Write, lines: list[str], message: str
) -> None:
    path = write(*lines)
    if not lines:
        path.write_text("")
    with pytest.raises(ValueError, match=message) as caught:
        load_data(path, image_size=8)
    assert "table.csv" in str(caught.value)


def test_text_that_is_not_utf_8_is_refused(write: Write) -> None:
    path = write("image,label", *rows())
    path.write_bytes(path.read_bytes().replace(b"a0.png,a", b"a0.png,\xe4"))
    with pytest.raises(ValueError, match="line 2 cannot be read as UTF-8 .* 0xe4.*Save the tab"):
        load_data(path, image_size=8)


def test_missing_images_are_counted_and_three_are_named(write: Write, tmp_path: Path) -> None:
    path = write("image,label", *rows())
    for index in (0, 2, 4, 6):
        (tmp_path / f"a{index}.png").unlink()
    message = (
        r"4 of 20 images of .*: a0.png \(line 2\), a2.png \(line 4\), a4.png \(line 6\), \.\.\."
    )
    with pytest.raises(FileNotFoundError, match=message):
        load_data(path, image_size=8)
    with pytest.raises(FileNotFoundError, match="no such file: .*gone.csv"):
        load_data(tmp_path / "gone.csv", image_size=8)


def test_options_that_do_not_fit_are_refused(write: Write, tmp_path: Path) -> None:
    path = write("image,label", *rows())
    for options, message in (
        ({"columns": {"picture": "x"}}, r"can name image, label, split, got \['picture'\]"),
        ({"group_by": "patient"}, "no column 'patient' for the group.*group_by"),
        ({"columns": {"split": "fold"}}, "no column 'fold' for the split"),
        ({"root": tmp_path}, "root=.* is an option of a data set of torchvision and a skin"),
        ({"download": True}, "download=True is an option of a data set of torchvision, and"),
        ({"paper_split": True, "group_by": "x"}, "paper_split draws single images"),
    ):
        with pytest.raises(ValueError, match=message):
            load_data(path, image_size=8, **options)
    with pytest.raises(
        ValueError, match="group_by='x' is an option of a skin .*, and 'digits' is"
    ):
        load_data("digits", image_size=8, group_by="x")


HAM_HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization"


def ham(root: Path, *, folders: tuple[str, ...], table: str, separator: str = ",") -> None:
    """30 lesions of two classes, with one, two or three images, as HAM10000 is published."""
    lines, image = [HAM_HEADER], 0
    for lesion in range(30):
        for _ in range(lesion % 3 + 1):
            folder = root / folders[image % len(folders)]
            make_image(folder / f"ISIC_{image:07}.jpg", ".jpg")
            dx = ("nv", "mel")[lesion % 2]
            lines.append(f"HAM_{lesion:07},ISIC_{image:07},{dx},histo,50.0,male,back")
            image += 1
    (root / table).write_text("\n".join(lines).replace(",", separator) + "\n")


HAM_PARTS = ("HAM10000_images_part_1", "HAM10000_images_part_2")


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("folders", "table", "separator"),
    [
        (HAM_PARTS, "HAM10000_metadata.csv", ","),
        (("HAM10000_images",), "HAM10000_metadata.tab", "\t"),
        ((".",), "HAM10000_metadata", ","),
    ],
)
def test_ham10000_keeps_lesions_together(
    tmp_path: Path, folders: tuple[str, ...], table: str, separator: str
) -> None:
    ham(tmp_path, folders=folders, table=table, separator=separator)
    splits = load_data("ham10000", root=tmp_path, image_size=8)
    lesion = [i for i in range(30) for _ in range(i % 3 + 1)]
    assert splits.classes == ("mel", "nv")
    found = everything(splits)
    assert len(found) == 60
    for name, (label, _) in found.items():
        assert label == ("nv", "mel")[lesion[int(name[5:])] % 2]
    train, val, test = ({lesion[int(name[5:])] for name in part} for part in names(splits))
    assert not train & val and not train & test and not val & test
    single = load_data("ham10000", root=tmp_path, image_size=8, group_by=None)
    train, val, test = ({lesion[int(name[5:])] for name in part} for part in names(single))
    assert train & val or train & test


def test_ham10000_in_the_papers_split_is_not_grouped(tmp_path: Path) -> None:
    ham(tmp_path, folders=HAM_PARTS, table="HAM10000_metadata.csv")
    splits = load_data(
        "ham10000", root=tmp_path, image_size=8, paper_split=True, train_fraction=0.4
    )
    assert [len(part) for part in names(splits)] == [24, 12, 24]


def test_images_that_lie_twice_are_taken_once_with_a_warning(tmp_path: Path) -> None:
    ham(tmp_path, folders=HAM_PARTS, table="HAM10000_metadata.csv")
    whole = load_data("ham10000", root=tmp_path, image_size=8)
    ham(tmp_path, folders=("copy",), table="unused.csv")
    with pytest.warns(UserWarning, match=r"60 images below .*: .*copy/ISIC_0000000.jpg is left"):
        assert load_data("ham10000", root=tmp_path, image_size=8).fingerprint == whole.fingerprint


ISIC_V1 = (
    "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,"
    "diagnosis,benign_malignant,target"
)
ISIC_V2 = ISIC_V1.replace("patient_id", "patient_id,lesion_id")


def isic(root: Path, *, folder: str, table: str, version: int) -> None:
    """20 patients with four images each, one of the last four melanomas in each fourth."""
    lines = [ISIC_V1 if version == 1 else ISIC_V2]
    for image in range(80):
        make_image(root / folder / f"ISIC_{image:07}.jpg", ".jpg")
        bad = image % 16 == 0
        lesion = f",IL_{image:07}" if version == 2 else ""
        label = ("melanoma,malignant,1") if bad else "unknown,benign,0"
        lines.append(f"ISIC_{image:07},IP_{image // 4:07}{lesion},male,45.0,torso,{label}")
    (root / table).write_text("\n".join([*lines, ""]))


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("folder", "table", "version"),
    [
        ("jpeg/train", "train.csv", 1),
        ("train", "ISIC_2020_Training_GroundTruth.csv", 1),
        ("train", "ISIC_2020_Training_GroundTruth_v2.csv", 2),
    ],
)
def test_isic_2020_keeps_patients_together(
    tmp_path: Path, folder: str, table: str, version: int
) -> None:
    isic(tmp_path, folder=folder, table=table, version=version)
    splits = load_data("isic2020", root=tmp_path, image_size=8)
    assert splits.classes == ("benign", "malignant")
    found = everything(splits)
    assert len(found) == 80
    for name, (label, _) in found.items():
        assert label == ("malignant" if int(name[5:]) % 16 == 0 else "benign")
    train, val, test = ({int(name[5:]) // 4 for name in part} for part in names(splits))
    assert not train & val and not train & test and not val & test
    malignant = [np.count_nonzero(part.labels) for part in (splits.train, splits.val)]
    assert malignant == [3, 1]
    if version == 2:
        by_lesion = load_data("isic2020", root=tmp_path, image_size=8, group_by="lesion_id")
        assert len(everything(by_lesion)) == 80
    else:
        with pytest.raises(ValueError, match="no column 'lesion_id' for the group"):
            load_data("isic2020", root=tmp_path, image_size=8, group_by="lesion_id")


@pytest.mark.parametrize("name", ["ham10000", "isic2020"])
def test_a_missing_skin_set_says_where_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=f"{name} is not in {tmp_path}.* get them from http"
    ):
        load_data(name, root=tmp_path, image_size=8)
    with pytest.raises(ValueError, match=f"{name} needs root"):
        load_data(name, image_size=8)
    with pytest.raises(
        ValueError, match="download=True is an option of a data set of torchvision"
    ):
        load_data(name, root=tmp_path, download=True, image_size=8)

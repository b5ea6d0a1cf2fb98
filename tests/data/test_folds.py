"""Folds for the trainings after a search: every labelled image is held out once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optuna_layerwise.data import Images, load_data
from optuna_layerwise.data.examples import joined
from optuna_layerwise.data.folds import folds_for_finalists, held_out_folds, suggested_folds


def made_up(labels: list[int], groups: list[str] | None = None) -> Images:
    """Images whose first pixel is their number."""
    pixels = np.zeros((len(labels), 1, 1, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(len(labels))
    names = tuple(map(str, range(len(labels))))
    return Images(pixels, np.array(labels), ("a", "b"), names, tuple(groups) if groups else None)


@pytest.mark.parametrize("grouped", [False, True])
def test_each_image_is_held_out_once_with_its_class_and_its_group(grouped: bool) -> None:
    labels = [0] * 24 + [1] * 12
    images = made_up(labels, [f"patient {i // 2}" for i in range(36)] if grouped else None)
    both = joined(images.subset(slice(0, 20)), images.subset(slice(20, 36)))
    folds = held_out_folds(both, 3)
    held = np.concatenate([out.batch()[:, 0, 0, 0] for _, out in folds])
    assert sorted(held) == list(range(36))
    for train, out in folds:
        assert sorted([*train.names, *out.names], key=int) == list(images.names)
        assert np.bincount(out.labels).tolist() == [8, 4]
        assert train.batch()[:, 0, 0, 0].tolist() == [int(name) for name in train.names]
        assert bool(train.groups) is grouped
        assert not set(train.groups or ()) & set(out.groups or ())


def test_fewer_images_or_groups_of_a_class_give_fewer_folds_and_many_images_none() -> None:
    assert suggested_folds(made_up([0] * 20 + [1] * 5)) == 5
    assert suggested_folds(made_up([0] * 20 + [1] * 3)) == 3
    assert suggested_folds(made_up([0] * 20 + [1])) == 1
    assert suggested_folds(made_up([0, 1] * 600)) == 1
    one_patient = made_up([0] * 20 + [1] * 4, [*map(str, range(20)), "x", "x", "x", "y"])
    assert len(folds_for_finalists(one_patient)) == 2
    with pytest.raises(ValueError, match="from 2 to 2, the groups of the smallest class, got 3"):
        held_out_folds(one_patient, 3)


def test_the_groups_of_a_table_reach_the_folds(tmp_path: Path) -> None:
    rows = ["image,label,patient"]
    for i in range(40):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{'ab'[i % 2]},p{i // 4}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    data = load_data(tmp_path / "table.csv", image_size=8, group_by="patient")
    folds = folds_for_finalists(joined(data.train, data.val))
    assert len(folds) == 5
    for train, out in folds:
        assert train.groups and out.groups and not set(train.groups) & set(out.groups)

"""Data that a program has at hand: arrays, data sets of torch, tables of Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import optuna
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from optuna_layerwise import FinetuneObjective, Policy, Recipe
from optuna_layerwise.data import Arrays, Images, load_examples
from optuna_layerwise.prediction import load_exported
from optuna_layerwise.records.final import Ending

RNG = np.random.default_rng(0)
LABELS = ["no", "yes"] * 30
SOUNDS = RNG.normal(size=(60, 1, 40)) + 2 * np.array([label == "yes" for label in LABELS])[
    :, None, None
] * np.sin(np.arange(40))


class Pictures(Dataset[Any]):
    """As torchvision's data sets are: pictures of Pillow, numbers, and the names of classes."""

    classes = ("dark", "light")

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.new("L", (9, 7), 200 * (index % 2) + index), index % 2


def sound_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv1d(1, 4, 5, stride=2), nn.ReLU()),
        nn.Sequential(nn.Conv1d(4, 8, 5, stride=2), nn.ReLU()),
        nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten()),
        nn.Linear(8, 2),
    )


def test_arrays_reach_an_own_network_as_they_are_and_its_file_is_loaded(tmp_path: Path) -> None:
    splits = load_examples((SOUNDS, LABELS), name="sounds")
    assert isinstance(splits.train, Arrays)
    rows = [int(name) for name in splits.train.names]
    np.testing.assert_array_equal(splits.train.batch(), SOUNDS[rows].astype(np.float32))
    objective = FinetuneObjective(
        model=sound_network, data=splits, recipe=Recipe(epochs=2, batch_size=8), device="cpu"
    )
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=2)
    file = tmp_path / "best.safetensors"
    final = objective.finalize(
        study, seeds=(5, 6), ending=Ending(folds=1, refit=True, deliver="team"), weights=file
    )
    exported = load_exported(file, device="cpu", build=lambda n: sound_network())
    test = splits.test.open()
    said = exported.predict(SOUNDS[[int(name) for name in test.names]])
    right = np.mean([a == LABELS[int(n)] for a, n in zip(said, test.names, strict=True)])
    assert final.delivered is not None
    assert right == pytest.approx(final.delivered.test["accuracy"])


def test_a_frozen_prefix_of_an_own_network_is_stored_for_arrays_too() -> None:
    splits = load_examples((SOUNDS, LABELS))
    trainer = FinetuneObjective(
        model=sound_network(), data=splits, recipe=Recipe(epochs=2), device="cpu"
    ).trainer
    policy = Policy.uniform(trainer.blocks, ["head"])
    fit = trainer.train(policy, splits.train, splits.val, 0)
    assert fit.prefix.startswith("at ")


def test_pictures_of_a_data_set_are_decoded_like_files() -> None:
    splits = load_examples(Pictures(), image_size=8)
    assert isinstance(splits.train, Images) and splits.train.pixels.shape[1:] == (8, 8, 3)
    assert splits.classes == ("dark", "light")
    first = splits.train.batch([0])[0]
    index = int(splits.train.names[0])
    assert (first == 200 * (index % 2) + index).all()


def test_a_table_of_hugging_face_has_its_classes_and_its_splits() -> None:
    features = datasets.Features(
        {
            "audio": datasets.Sequence(datasets.Value("float32")),
            "intent": datasets.ClassLabel(names=["stop", "go"]),
        }
    )
    rows = {"audio": SOUNDS[:, 0].astype("float32").tolist(), "intent": [0, 1] * 30}
    table = datasets.Dataset.from_dict(rows, features=features)
    both = datasets.DatasetDict(
        {"train": table.select(range(40)), "test": table.select(range(40, 60))}
    )
    splits = load_examples(both, columns=("audio", "intent"))
    assert splits.classes == ("stop", "go")
    assert len(splits.test) == 20 and len(splits.train) + len(splits.val) == 40
    assert {name.partition(" ")[0] for name in splits.val.names} == {"train"}


def test_groups_stay_together() -> None:
    groups = [number // 3 for number in range(60)]
    splits = load_examples((SOUNDS, LABELS), groups=groups)
    ins = [set(part.groups or ()) for part in (splits.train, splits.val, splits.test.open())]
    assert not (ins[0] & ins[1] or ins[0] & ins[2] or ins[1] & ins[2])


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        ((SOUNDS, LABELS[:-1]), {}, "expected one label per input, got 59 for 60"),
        ((SOUNDS, ["yes"] * 60), {}, "two classes or more"),
        ((SOUNDS, [0.5] * 60), {}, "a name or a whole number, got 0.5"),
        (
            ([*SOUNDS[:-1], np.zeros((1, 41))], LABELS),
            {},
            "one shape, got .1, 40. .item 0.; .1, 41. .item 59.",
        ),
        ((["a", "b"] * 30, LABELS), {}, "texts: expected tokenizing="),
        (Pictures(), {}, "images: expected image_size="),
        ((SOUNDS, LABELS), {"image_size": 8}, "got float64 .1, 40."),
        ({"first": (SOUNDS, LABELS)}, {}, "expected .inputs, labels."),
        (iter([]), {}, "got list_iterator"),
        (([], []), {}, "two classes or more|at least one item"),
        ((SOUNDS, LABELS), {"groups": [1, 2]}, "expected 60 groups"),
        ((SOUNDS, [0, 5] * 30), {"classes": ["a", "b"]}, "or 0 to 1, got 5"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_one_line(
    data: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        load_examples(data, **options)
    assert "\n" not in str(refused.value)


def test_augmentation_is_for_images() -> None:
    with pytest.raises(ValueError, match="augment='flip' is for images, and these are examples"):
        FinetuneObjective(
            model=sound_network,
            data=load_examples((SOUNDS, LABELS)),
            recipe=Recipe(augment="flip"),
            device="cpu",
        )

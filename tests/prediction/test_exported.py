"""An exported network says the same in this package, in its script, as ONNX and as a program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from exports import export_of, photos
from PIL import Image
from safetensors.torch import load_file, save_file

from optuna_layerwise import ModelSpec
from optuna_layerwise.data.decode import decode
from optuna_layerwise.models.team import Team, save_team
from optuna_layerwise.prediction import Exported, load_exported, write_onnx, write_program

FAMILIES = (
    *("digits_cnn", "resnet20", "alexnet", "squeezenet1_1", "googlenet", "densenet121"),
    *(
        "mobilenet_v2",
        "mobilenet_v3_small",
        "shufflenet_v2_x0_5",
        "efficientnet_b0",
        "regnet_y_400mf",
    ),
    *("resnet18", "vgg11_bn", "mnasnet0_5", "inception_v3", "convnext_tiny", "vit_b_32"),
    *("swin_t", "maxvit_t", "timm/resnet10t", "transformers/resnet"),
)
PROGRAMS = ("digits_cnn", "mnasnet0_5", "googlenet", "transformers/resnet")
"""Those that are written as programs here, too: it takes a minute for the large ones."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return export_of(ModelSpec(name="digits_cnn", weights=None), tmp_path / "exported")


def said_by_script(folder: Path, images: list[Path]) -> tuple[list[str], list[float]]:
    """Classes and probabilities that the plain script prints, where this package is not there."""
    code = (
        "import runpy, sys; sys.modules['optuna_layerwise'] = None; "
        f"sys.path.insert(0, {str(folder)!r}); sys.argv = ['predict.py', *sys.argv[1:]]; "
        f"runpy.run_path({str(folder / 'predict.py')!r}, run_name='__main__')"
    )
    command = [sys.executable, "-c", code, *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cells = [line.split("\t") for line in done.stdout.splitlines()]
    return [name for _, name, _ in cells], [float(value) for *_, value in cells]


def pixels_of(exported: Exported, images: list[Path]) -> torch.Tensor:
    decoded = [np.asarray(image) for image in exported.decoded(images)]
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2)


@pytest.mark.sweep
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_every_family_says_the_same_everywhere(tmp_path: Path, name: str) -> None:
    small = {"image_size": 64} if name in ("resnet18", "vgg11_bn", "densenet121") else {}
    spec = ModelSpec(name=name, weights=None, **small)
    folder, images = export_of(spec, tmp_path / "exported"), photos(tmp_path / "photos")
    exported = load_exported(folder, device="cpu")
    probabilities = exported.predict_proba(images)
    assert probabilities.std(axis=0).max() > 1e-5  # the images differ to it
    classes, best = said_by_script(folder, images)
    assert classes == exported.predict(images)
    assert best == pytest.approx(probabilities.max(axis=1), abs=6e-4)
    if name in PROGRAMS:
        pixels = pixels_of(exported, images)
        assert write_onnx(exported, tmp_path / "model.onnx", pixels) < 1e-4
        assert write_program(exported, tmp_path / "model.pt2", pixels) < 1e-6


@pytest.mark.slow
def test_a_team_says_the_same_everywhere(tmp_path: Path, folder: Path) -> None:
    first = load_exported(folder, device="cpu")
    second = ModelSpec(name="digits_cnn", weights=None).build(5).eval()
    metadata = {"policy": "{}", **first.network.as_metadata()}
    save_team(Team([first.model, second], [3, 1]), folder / "model.safetensors", metadata)
    team, images = load_exported(folder, device="cpu"), photos(tmp_path / "photos")
    assert isinstance(team.model, Team)
    probabilities = team.predict_proba(images)
    assert not np.allclose(probabilities, first.predict_proba(images), atol=1e-3)
    classes, best = said_by_script(folder, images)
    assert classes == team.predict(images)
    assert best == pytest.approx(probabilities.max(axis=1), abs=6e-4)
    assert write_onnx(team, tmp_path / "model.onnx", pixels_of(team, images)) < 1e-5


@pytest.mark.slow
def test_the_script_is_short_and_refuses_what_it_cannot_prepare(
    tmp_path: Path, folder: Path
) -> None:
    assert len((folder / "predict.py").read_text().splitlines()) <= 40
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((9, 9), 4000, np.uint16)).save(deep)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        said_by_script(folder, [deep])
    assert "more than 8 bits" in failed.value.stderr


def test_images_are_decoded_as_for_the_training(tmp_path: Path) -> None:
    spec = ModelSpec(name="resnet20", weights=None)
    folder = export_of(spec, tmp_path / "exported", resize=40, value_range=(0.0, 5000.0))
    exported, [photo] = load_exported(folder), photos(tmp_path / "photos", 1)
    deep = np.full((50, 60), 2000, np.uint16)
    first, second = exported.decoded([photo, deep])
    assert np.array_equal(first, decode(photo, 32, resize=40))
    assert (np.asarray(second) == 102).all()


def test_arrays_and_paths_are_one_image_or_many(folder: Path, tmp_path: Path) -> None:
    exported, [photo] = load_exported(folder), photos(tmp_path / "photos", 1)
    array = np.array(exported.decoded([photo])[0])
    one = exported.predict_proba(photo)
    assert one.shape == (1, 5)
    assert one.sum() == pytest.approx(1)
    for images in (str(photo), [photo], array, array[None], [array], [torch.from_numpy(array)]):
        assert np.array_equal(exported.predict_proba(images), one)
    assert exported.predict_proba([]).shape == (0, 5)
    assert exported.predict_proba(array[..., 0]).shape == (1, 5)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 4), np.uint8), r"or \[H, W, 3\], got ndarray uint8 \[8, 8, 4\]"),
        (np.zeros((8, 8), bool), "array of numbers"),
        (np.full((8, 8), np.nan), r"an array \[8, 8\] cannot be decoded: .*NaN"),
        (3, "expected the path of an image file, or an array"),
    ],
)
def test_what_is_no_image_is_refused(folder: Path, image: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_exported(folder).predict_proba([image])  # type: ignore[list-item]


def test_plausible_classes_come_with_the_most_probable_first(folder: Path) -> None:
    exported = load_exported(folder)
    rows = np.array([[0.1, 0.5, 0.25, 0.1, 0.05], [0.9, 0.1, 0, 0, 0], [0.19] * 5])
    assert exported.plausible(rows) == [["birch", "cedar; fir"], ["ash"], []]


def test_a_folder_without_a_network_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no such file in"):
        load_exported(tmp_path)
    with pytest.raises(FileNotFoundError, match="found none"):
        load_exported(tmp_path / "nowhere.safetensors")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file(tensors, file, metadata={"policy": "{}"})
    with pytest.raises(ValueError, match="does not say which network .* Finalize the study again"):
        load_exported(folder)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read as a safetensors file"):
        load_exported(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "resnet18"}, "are not of the network resnet18"),
        ({"model": "../../etc/passwd"}, "unknown model"),
        ({"args": {"weights": "IMAGENET1K_V1"}}, "does not take"),
        ({"classes": "abc"}, "classes: "),
        ({"image_size": "8"}, "image_size: "),
        ({"v": 2}, "it has version 2, and this release reads 1"),
        ({"config": {"model_type": "vit", "backbone": "x"}, "model": "transformers/vit"}, "loads"),
        ({"config": {"model_type": "nothing"}}, "unknown model 'transformers/nothing'"),
    ],
)
def test_a_description_that_was_changed_is_refused(
    folder: Path, change: dict[str, object], message: str
) -> None:
    file = folder / "model.safetensors"
    network = json.loads(load_exported(folder).network.as_metadata()["network"])
    save_file(load_file(file), file, metadata={"network": json.dumps({**network, **change})})
    with pytest.raises(ValueError, match=message):
        load_exported(folder)

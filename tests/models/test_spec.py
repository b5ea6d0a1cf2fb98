from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
import torchvision

from optuna_layerwise import models
from optuna_layerwise.models import MODELS, DigitsCNN, ModelSpec, check_input


@pytest.mark.parametrize("name", [*MODELS, "shufflenet_v2_x0_5"])
def test_model_by_name_has_a_head_per_class_and_blocks(name):
    spec = ModelSpec(name=name)
    model = spec.build(3).eval()
    assert model(torch.zeros(1, 3, spec.image_size, spec.image_size)).shape == (1, 3)
    assert list(spec.partition(model))[-1] == "head"


def test_spec_passes_arguments_granularity_and_patterns_on():
    spec = ModelSpec(name="mobilenet_v2", args={"width_mult": 0.35}, granularity="block")
    model = spec.build(4)
    assert model.features[0][0].out_channels == 16
    assert len(spec.partition(model)) == 20
    spec = dataclasses.replace(spec, patterns={"trunk": "features.*", "head": "classifier.*"})
    assert list(spec.partition(model)) == ["trunk", "head"]


def test_spec_with_a_real_weight_file_builds_the_pretrained_trunk(shared_data):
    path = shared_data / "weights" / "mobilenet_v2_w035_imagenet_notop.pth"
    spec = ModelSpec(name="mobilenet_v2", args={"width_mult": 0.35}, weights=path)
    weight = torch.load(path, weights_only=True)["features.0.0.weight"]
    assert torch.equal(spec.build(4).features[0][0].weight, weight)
    narrow = dataclasses.replace(spec, args={"width_mult": 0.5})
    with pytest.raises(ValueError, match="not of this MobileNetV2.*of another shape"):
        narrow.build(4)


def test_digest_depends_on_the_content_of_the_weights_not_on_their_place(tmp_path):
    torch.manual_seed(0)
    torch.save(DigitsCNN().state_dict(), tmp_path / "a.pt")
    shutil.copy(tmp_path / "a.pt", tmp_path / "b.pt")
    torch.save(DigitsCNN().state_dict(), tmp_path / "c.pt")
    a, b, c = (ModelSpec(name="digits_cnn", weights=tmp_path / f"{n}.pt") for n in "abc")
    assert a.weights_hash == b.weights_hash != c.weights_hash
    assert a.digest == b.digest != c.digest
    assert a.digest != dataclasses.replace(a, image_size=16).digest
    assert ModelSpec(name="digits_cnn").weights_hash is None


@pytest.mark.parametrize(
    ("name", "near"), [("resnet5", "resnet50"), ("mobilenetv2", "mobilenet_v2")]
)
def test_unknown_model_names_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"unknown model '{name}'; did you mean .*'{near}'"):
        ModelSpec(name=name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mean": (0.5, 0.5)}, "mean must be 3 numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "std must be 3 numbers .std above 0."),
        ({"image_size": 0}, "image_size must be at least 1, got 0"),
    ],
)
def test_spec_out_of_range_names_the_field(fields, message):
    with pytest.raises(ValueError, match=message):
        ModelSpec(name="resnet18", **fields)


@pytest.mark.parametrize("name", ["resnet18", "digits_cnn"])
def test_weights_that_torchvision_does_not_have_are_refused_with_those_it_has(name):
    known = r"\['IMAGENET1K_V1', 'DEFAULT'\]" if name == "resnet18" else r"\[\]"
    with pytest.raises(ValueError, match=f"a file or one of {known}, got 'IMAGENET1K_V9'"):
        ModelSpec(name=name, weights="IMAGENET1K_V9").build(2)
    with pytest.raises(ValueError, match="num_classes must be at least 1"):
        ModelSpec(name=name).build(0)


def test_failed_download_says_to_pass_a_local_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody listens there
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    spec = ModelSpec(name="mobilenet_v2", weights="DEFAULT")
    assert spec.weights_hash == "MobileNet_V2_Weights.IMAGENET1K_V2"
    with pytest.raises(ConnectionError, match="cannot download 'DEFAULT' of mobilenet_v2 .*path"):
        spec.build(2)


def test_image_size_that_the_model_cannot_take_is_refused_with_its_own_message():
    model = torchvision.models.squeezenet1_1(num_classes=2)
    model.features.eval()
    flags = [module.training for module in model.modules()]
    check_input(model, 64)
    with pytest.raises(ValueError, match="SqueezeNet cannot take images of 8 x 8 .*too small"):
        check_input(model, 8)
    assert [module.training for module in model.modules()] == flags


def test_input_check_changes_no_state_and_no_generator():
    model = DigitsCNN()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    check_input(model, 8)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_public_names_exist_and_are_sorted():
    constants = [name for name in models.__all__ if name.isupper()]
    others = [name for name in models.__all__ if not name.isupper()]
    assert models.__all__ == constants + sorted(others)
    assert all(hasattr(models, name) for name in models.__all__)

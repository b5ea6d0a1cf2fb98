from __future__ import annotations

import dataclasses
import io
import logging
import shutil
import socket
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from networks import NETWORKS
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import MobileNet_V2_Weights, SqueezeNet1_1_Weights

from optuna_layerwise import FinetuneObjective, models
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.models import MODELS, DigitsCNN, ModelSpec, Preprocessing, check_input
from optuna_layerwise.training.pretrained_digits import pretrained_digits


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", [*MODELS, "shufflenet_v2_x0_5"])
def test_model_by_name_has_a_head_per_class_and_blocks(name):
    spec = ModelSpec(name=name, weights=None)
    model = spec.build(3).eval()
    assert model(torch.zeros(1, 3, spec.image_size, spec.image_size)).shape == (1, 3)
    assert list(spec.partition(model))[-1] == "head"


def test_spec_passes_arguments_granularity_and_patterns_on():
    spec = ModelSpec(
        name="mobilenet_v2", args={"width_mult": 0.35}, weights=None, granularity="block"
    )
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
    assert ModelSpec(name="digits_cnn", weights=None).weights_hash is None


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet5", "resnet50"),
        ("mobilenetv2", "mobilenet_v2"),
        ("timm/resnet11t", "timm/resnet10t"),
        ("transformers/vti", "transformers/vit"),
    ],
)
def test_unknown_model_names_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"unknown model '{name}'; did you mean .*'{near}'"):
        ModelSpec(name=name)


def test_digest_of_a_stored_study_is_the_one_that_it_was_stored_with():
    """Computed before the defaults came with the weights."""
    known = "bc21384400c935a2c28c1938c9c0ae7c52d78c83fcd5259f0aff095931935a72"
    assert ModelSpec(name="resnet18", weights=None).digest == known
    explicit = ModelSpec(
        name="resnet18",
        weights=None,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        image_size=224,
    )
    assert explicit.digest == known


HALF = (0.5, 0.5, 0.5)


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "resnet50"}, Preprocessing()),
        (
            {"name": "resnet50", "weights": "IMAGENET1K_V1"},
            Preprocessing(resize_size=256),
        ),
        ({"name": "inception_v3"}, Preprocessing(image_size=299, resize_size=342)),
        (
            {"name": "efficientnet_b1", "weights": "IMAGENET1K_V1"},
            Preprocessing(image_size=240, resize_size=256, interpolation="bicubic"),
        ),
        (
            {"name": "vit_b_16", "args": {"image_size": 32}},
            Preprocessing(image_size=32, resize_size=37),
        ),
        ({"name": "resnet20", "weights": None}, Preprocessing(image_size=32, resize_size=33)),
        ({"name": "digits_cnn"}, Preprocessing(image_size=8, resize_size=8)),
        (
            {"name": "timm/vit_tiny_patch16_224", "weights": "DEFAULT"},
            Preprocessing(HALF, HALF, 224, 248, "bicubic"),
        ),
        (
            {"name": "timm/resnet10t.c3_in1k"},
            Preprocessing(image_size=176, resize_size=201, interpolation="bicubic"),
        ),
        (
            {"name": "transformers/vit", "args": {"image_size": 32}, "weights": None},
            Preprocessing(image_size=32, resize_size=33),
        ),
    ],
)
def test_preprocessing_comes_with_the_weights_and_can_be_set(fields, expected):
    spec = ModelSpec(**fields)
    assert spec.preprocessing == expected
    assert (spec.mean, spec.std, spec.image_size) == expected[:3]
    own = ModelSpec(**fields, mean=(0.1, 0.2, 0.3), image_size=48)
    assert (own.mean, own.std, own.image_size) == ((0.1, 0.2, 0.3), expected.std, 48)


def test_published_weights_say_how_to_resize_and_a_file_does_not(tmp_path):
    assert ModelSpec(name="resnet18", weights="IMAGENET1K_V1").resize == 256
    assert ModelSpec(name="resnet50", weights="IMAGENET1K_V2", image_size=112).resize == 116
    assert ModelSpec(name="resnet18", weights=tmp_path / "resnet18.pth").resize is None
    assert ModelSpec(name="resnet18", weights=None).resize is None
    assert ModelSpec(name="digits_cnn").resize is None


def test_preprocessing_of_a_local_file_is_that_of_the_network(tmp_path):
    assert ModelSpec(name="inception_v3", weights=tmp_path / "w.pth").image_size == 299


def test_weights_of_timm_go_by_their_tag():
    names = {"": "c3_in1k", ".c3_in1k": "c3_in1k"}
    for suffix, tag in names.items():
        spec = ModelSpec(name=f"timm/resnet10t{suffix}", weights="DEFAULT")
        assert spec.weights_hash == f"resnet10t.{tag}"
    known = "timm/vit_tiny_patch16_224"
    assert ModelSpec(name=known, weights="augreg_in21k").weights_hash.endswith(".augreg_in21k")
    with pytest.raises(ValueError, match=r"a file or one of \['DEFAULT', 'c3_in1k'\], got 'c9'"):
        ModelSpec(name="timm/resnet10t", weights="c9")


def test_local_file_of_timm_fills_all_but_the_head(tmp_path):
    spec = ModelSpec(name="timm/resnet10t", weights=None)
    source = spec.build(7)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth.tar")
    model = dataclasses.replace(spec, weights=tmp_path / "w.pth.tar").build(3)
    assert torch.equal(model.layer4[0].conv2.weight, source.layer4[0].conv2.weight)
    assert model.fc.out_features == 3


def test_folder_of_transformers_brings_configuration_weights_and_preprocessing(tmp_path):
    from transformers import ViTImageProcessor

    args = dict(NETWORKS["transformers/vit"].args)
    source = ModelSpec(name="transformers/vit", args=args, weights=None).build(7)
    source.save_pretrained(tmp_path / "saved")
    processor = ViTImageProcessor(image_mean=HALF, image_std=(0.2, 0.2, 0.2), size=32)
    processor.save_pretrained(tmp_path / "saved")
    spec = ModelSpec(name=f"transformers/{tmp_path}/saved", weights="DEFAULT")
    assert (spec.mean, spec.std, spec.image_size) == (HALF, (0.2, 0.2, 0.2), 32)
    model = spec.build(3)
    assert model.training and model.classifier.out_features == 3
    weights = source.state_dict()
    assert all(
        torch.equal(t, weights[n])
        for n, t in model.state_dict().items()
        if not n.startswith("classifier")
    )
    assert spec.partition(model) == ModelSpec(name="transformers/vit", weights=None).partition(
        source
    )
    random = dataclasses.replace(spec, weights=None).build(3)
    patches = "vit.embeddings.patch_embeddings.projection.weight"
    assert not torch.equal(random.get_parameter(patches), model.get_parameter(patches))
    before = spec.weights_hash
    ModelSpec(name="transformers/vit", args=args, weights=None).build(7).save_pretrained(
        tmp_path / "saved"
    )
    assert spec.weights_hash != before and before.startswith("sha256:")


@pytest.mark.parametrize("name", ["timm/resnet10t", "transformers/vit"])
def test_missing_package_names_its_extra(name, monkeypatch):
    package = name.partition("/")[0]
    for module in [m for m in sys.modules if m.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"pip install 'optuna-layerwise\[{package}\]'"):
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


@pytest.mark.parametrize(
    ("name", "argument", "value", "expected"),
    [
        ("mobilenet_v2", "width_mult", "abc", "must be a number such as 1.0, got 'abc'"),
        ("googlenet", "aux_logits", "x", "must be true or false, got 'x'"),
        ("inception_v3", "dropout", 7, "expected a number such as 0.5"),
        ("timm/vit_tiny_patch16_224", "depth", 1.5, "expected a whole number such as"),
        ("timm/vit_tiny_patch16_224", "embed_dim", "a", "must be a whole number such as"),
        ("transformers/vit", "num_hidden_layers", "a", "must be a whole number such as 12"),
        ("transformers/vit", "hidden_act", "abc", "expected a word such as gelu"),
        ("resnet18", "num_classes", 3, "leave it out"),
    ],
)
def test_an_argument_of_a_wrong_kind_is_named_with_what_is_expected(
    name, argument, value, expected
):
    """Beside a right one where there is one, and before the data are there."""
    if name.startswith(("timm/", "transformers/")):
        pytest.importorskip(name.partition("/")[0])
    right = {"dropout": 0.1} if name == "mobilenet_v2" else {}
    with pytest.raises(ValueError, match="does not take") as refused:
        ModelSpec(
            name=name, args={**right, argument: value}, weights=None, image_size=224
        ).check_arguments()
    said = str(refused.value)
    assert repr(argument)[1:-1] in said
    assert repr(value) in said
    assert expected in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "args"), [("resnet18", {"depth": 9}), ("vit_b_16", {"image_size": 30})]
)
def test_arguments_that_a_network_does_not_take_are_named(name, args):
    with pytest.raises(ValueError, match=f"{name} does not take {args}: "):
        ModelSpec(name=name, args=args, weights=None, image_size=32).build(2)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("resnet18", {"weights": "DEFAULT"}),
        ("resnet18", {"norm_layer": {"_target_": "os.system"}}),
        ("timm/resnet10t", {"checkpoint_path": "secret.pth"}),
        ("timm/resnet10t", {"pretrained_cfg": {"file": "secret.pth"}}),
        ("timm/resnet10t", {"cache_dir": "elsewhere"}),
        ("timm/resnet10t", {"norm_layer": "os:system"}),
        ("transformers/vit", {"trust_remote_code": True}),
        ("transformers/vit", {"attn_implementation": "someone/kernel"}),
        ("transformers/vit", {"auto_map": {"AutoConfig": "evil.Config"}}),
        ("transformers/vit", {"_name_or_path": "someone/network"}),
        ("transformers/vit", {"hidden_act": [[["gelu"]]]}),
        ("transformers/timm_wrapper", {"architecture": "hf-hub:someone/network"}),
        ("timm/hf-hub:someone/network", {}),
        ("timm/local-dir:/tmp", {}),
    ],
)
def test_what_loads_weights_files_or_code_is_no_argument_of_a_network(name, args):
    with pytest.raises(ValueError, match="does not take|unknown model"):
        ModelSpec(name=name, args=args, image_size=32, mean=HALF, std=HALF)


@pytest.mark.parametrize("name", ["resnet18", "digits_cnn"])
def test_weights_that_torchvision_does_not_have_are_refused_with_those_it_has(name):
    known = r"\['IMAGENET1K_V1', 'DEFAULT'\]" if name == "resnet18" else r"\['DEFAULT'\]"
    with pytest.raises(ValueError, match=f"a file or one of {known}, got 'IMAGENET1K_V9'"):
        ModelSpec(name=name, image_size=8, weights="IMAGENET1K_V9").build(2)
    with pytest.raises(ValueError, match="num_classes must be at least 1"):
        ModelSpec(name=name, weights=None).build(0)


def saved(name: str, path: Path, classes: int) -> dict[str, torch.Tensor]:
    """Random weights, in the place where published ones would be cached."""
    path.parent.mkdir(parents=True)
    state: dict[str, torch.Tensor] = ModelSpec(name=name, weights=None).build(classes).state_dict()
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    return state


def hub_cache(folder: Path, repository: str) -> Path:
    """Where a file of a repository on the hub is cached."""
    cached = folder / f"models--{repository.replace('/', '--')}"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    return cached / "snapshots" / ("0" * 40)


def same_but_for(heads: tuple[str, ...], model: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    trunk = {n: t for n, t in model.state_dict().items() if not n.startswith(heads)}
    return all(torch.equal(tensor, state[n]) for n, tensor in trunk.items())


def test_a_network_by_its_name_has_its_published_weights_wherever_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is in torch's cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name = "squeezenet1_1"
    file = SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2]
    state = saved(name, tmp_path / "hub" / "checkpoints" / file, 1000)
    spec = ModelSpec(name=name)
    assert same_but_for(("classifier",), spec.build(3), state)
    digest = spec.digest
    assert digest == ModelSpec(name=name, weights="DEFAULT").digest
    assert Settings(model=name).spec().digest == digest
    random = (ModelSpec(name=name, weights=None), Settings(model=name, weights="none").spec())
    for other in random:
        assert other.digest != digest
        assert not same_but_for(("classifier",), other.build(3), state)


def test_published_weights_of_the_hub_are_taken_from_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = "timm/test_resnet.r160_in1k"
    file = hub_cache(tmp_path, repository) / "model.safetensors"
    state = saved("timm/test_resnet", file, 1000)
    model = ModelSpec(name="timm/test_resnet").build(3)
    assert same_but_for(("fc",), model, state) and model.fc.out_features == 3


def test_the_network_for_digits_is_pretrained_where_it_is_first_asked_for() -> None:
    by_name = ModelSpec(name="digits_cnn")
    by_file = ModelSpec(name="digits_cnn", weights=pretrained_digits(), image_size=8)
    objective = FinetuneObjective(model="digits_cnn", data="digits", device="cpu")
    assert objective.spec == by_name
    assert by_name.digest == by_file.digest == Settings(image_size=8).spec().digest
    state = load_file(pretrained_digits())
    assert same_but_for(("head",), by_name.build(7), state)


@pytest.mark.parametrize("name", ["resnet20", "transformers/vit", "own", "timm/coatnet_0_224"])
def test_network_without_published_weights_says_to_give_a_file_or_none(name, monkeypatch):
    monkeypatch.setitem(MODELS, "own", DigitsCNN)
    with pytest.raises(
        ValueError,
        match=f"no published weights of {name}; give a file .*--weights none",
    ):
        ModelSpec(name=name)
    assert ModelSpec(name=name, weights=None).weights_hash is None


@pytest.mark.parametrize("content", [b"", b"cut short", None])
def test_published_weights_that_do_not_fit_or_are_damaged_are_one_line(
    content, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = MobileNet_V2_Weights.DEFAULT.url.rpartition("/")[2]
    path = tmp_path / "hub" / "checkpoints" / file
    path.parent.mkdir(parents=True)
    torch.save({}, path) if content is None else path.write_bytes(content)
    args = {"width_mult": 0.35}
    with pytest.raises(
        ValueError, match="weights 'DEFAULT' of mobilenet_v2 .*0.35.*none"
    ) as caught:
        ModelSpec(name="mobilenet_v2", args=args).build(2)
    assert "\n" not in str(caught.value)


def test_failed_download_says_to_pass_a_local_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody listens there
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("urllib.request._opener", None)  # or it keeps the first proxies it saw
    spec = ModelSpec(name="mobilenet_v2", weights="DEFAULT")
    assert spec.weights_hash == "MobileNet_V2_Weights.IMAGENET1K_V2"
    with pytest.raises(
        ConnectionError,
        match="cannot download 'DEFAULT' of mobilenet_v2 from https://.*FILE.*--weights none",
    ):
        spec.build(2)


@pytest.mark.parametrize("name", ["timm/resnet10t", "transformers/google/vit-base-patch16-224"])
def test_failed_download_from_the_hub_is_one_line(name, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ConnectionError, match=f"cannot download .*{name}.*--weights FILE"
    ) as caught:
        ModelSpec(name=name, weights="DEFAULT").build(2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["timm/resnet10t", "transformers/google/vit-base-patch16-224"])
def test_a_hub_that_is_not_reached_is_one_line_and_not_one_for_each_attempt(
    name, tmp_path, monkeypatch
):
    def no_network(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    monkeypatch.setattr("time.sleep", lambda _: None)
    said = io.StringIO()
    handler = logging.StreamHandler(said)  # the hub's own has the first standard error
    hub = logging.getLogger("huggingface_hub")
    hub.addHandler(handler)
    try:
        with pytest.raises(ConnectionError, match=f"cannot download .*{name}"):
            ModelSpec(name=name, weights="DEFAULT").build(2)
    finally:
        hub.removeHandler(handler)
    assert said.getvalue() == ""


def test_image_too_small_for_the_auxiliary_head_of_inception_is_refused():
    model = ModelSpec(name="inception_v3", weights=None).build(2)
    with pytest.raises(ValueError, match="Inception3 cannot take images of 128 x 128 .* in train"):
        check_input(model, 128)


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

from __future__ import annotations

import copy
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torchvision
from networks import NETWORKS
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from optuna_layerwise.models import (
    DigitsCNN,
    frozen,
    logits_of,
    partition,
    replace_head,
    reset_head,
    training_loss,
)
from optuna_layerwise.models.cutting import find_cut
from optuna_layerwise.models.heads import find_heads
from optuna_layerwise.models.seeding import seeded
from optuna_layerwise.policy import Policy


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("resnet18", "fc"),
        ("mobilenet_v2", "classifier.1"),
        ("densenet121", "classifier"),
        ("squeezenet1_1", "classifier.1"),
    ],
)
def test_replaced_head_is_the_classifier_and_is_in_the_last_block(name, path):
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
    replace_head(model, 7)
    assert len(model.get_submodule(path).weight) == 7
    assert partition(model)["head"] == (f"{path}.weight", f"{path}.bias")


def test_replaced_head_keeps_bias_type_and_mode_of_the_old_one():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 9, bias=False)).double().eval()
    replace_head(model, 3)
    head = model[1]
    assert head.bias is None and head.weight.dtype == torch.float64 and not head.training
    assert head.weight.shape == (3, 4)


def test_head_that_is_a_pointwise_convolution_is_replaced_by_one():
    model = torchvision.models.squeezenet1_1().double().eval()
    replace_head(model, 3)
    head = model.classifier[1]
    assert head.weight.shape == (3, 512, 1, 1) and head.weight.dtype == torch.float64
    assert not head.training and head.bias is not None
    assert model(torch.zeros(2, 3, 64, 64, dtype=torch.float64)).shape == (2, 3)
    before = copy.deepcopy(model)
    reset_head(model, partition(model), 0)
    assert not torch.equal(head.weight, before.classifier[1].weight)


@pytest.mark.parametrize(
    ("behind", "head"),
    [
        ([nn.Conv2d(4, 4, 1)], "2"),
        ([nn.Conv2d(4, 4, 3)], "1"),
        ([nn.Conv2d(4, 4, 1, groups=2)], "1"),
        ([nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)], "1"),
    ],
)
def test_convolution_is_the_head_only_if_it_is_pointwise_and_last(behind, head):
    assert find_heads(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 4), *behind)) == [head]


def test_both_heads_of_a_distilled_model_are_replaced_and_reset():
    spec = NETWORKS["timm/deit_tiny_distilled_patch16_224"].spec
    model = spec.build(9)
    assert find_heads(model) == ["head_dist", "head"]
    replace_head(model, 3)
    assert model.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    twin = spec.build(3)
    for network in (model, twin):
        reset_head(network, partition(network), 0)
    for path in ("head", "head_dist"):
        assert torch.equal(twin.get_submodule(path).weight, model.get_submodule(path).weight)
    assert not torch.equal(model.head.weight, model.head_dist.weight)


@pytest.mark.parametrize(
    ("model", "classes", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 3, 3)),
            3,
            "a linear layer, .* as the head of this Sequential",
        ),
        (nn.Linear(3, 3), 3, "found none"),
        (DigitsCNN(), 0, "num_classes must be at least 1, got 0"),
    ],
)
def test_head_that_cannot_be_replaced_says_why(model, classes, message):
    with pytest.raises(ValueError, match=message):
        replace_head(model, classes)


def test_reset_head_depends_on_the_seed_alone_and_moves_no_generator():
    model = DigitsCNN()
    blocks = partition(model)
    before = copy.deepcopy(model)
    state = torch.get_rng_state()
    heads = []
    for seed in (0, 1, 0):
        reset_head(model, blocks, seed)
        heads.append((model.head.weight.detach().clone(), model.head.bias.detach().clone()))
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        state = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(heads[0], heads[2], strict=True))
    assert not torch.equal(heads[0][0], heads[1][0])
    old = before.state_dict()
    assert all(torch.equal(t, old[n]) for n, t in model.state_dict().items() if "head" not in n)


def test_reset_head_equals_a_new_layer_of_that_seed():
    model = DigitsCNN(num_classes=4)
    reset_head(model, partition(model), 3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        fresh = nn.Linear(64, 4)
    assert torch.equal(model.head.weight, fresh.weight)


@pytest.mark.slow
def test_threads_that_reset_heads_seed_trainings_and_look_for_cuts_get_what_each_gets_alone():
    template = DigitsCNN(num_classes=4)
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def head(seed):
        model = copy.deepcopy(template)
        with seeded(seed, torch.device("cpu")):
            reset_head(model, partition(model), seed)
        if seed == 3:
            with frozen(model, blocks := partition(model), Policy.uniform(blocks, ["head"])):
                assert find_cut(model, images)[0] is not None
        return model.head.weight.detach()

    alone = [head(seed) for seed in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(head, list(range(4)) * 100))
    finally:
        sys.setswitchinterval(interval)
    assert all(torch.equal(*pair) for pair in zip(together, alone * 100, strict=True))


def test_reset_head_keeps_pretrained_layers_of_the_last_block():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    before = copy.deepcopy(model)
    reset_head(model, {"trunk": ("0.weight",), "head": ("1.weight", "3.weight", "3.bias")}, 0)
    assert torch.equal(model[1].weight, before[1].weight)
    assert not torch.equal(model[3].weight, before[3].weight)


def test_reset_of_a_tied_head_is_refused_until_it_is_replaced():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    with pytest.raises(ValueError, match="'2' shares weights with a block other than 'head'"):
        reset_head(model, partition(model), 0)
    replace_head(model, 3)
    reset_head(model, partition(model), 0)


def test_last_block_without_a_layer_cannot_be_reset():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    blocks = {"trunk": ("0.weight", "0.bias"), "norm": ("1.weight", "1.bias")}
    with pytest.raises(ValueError, match="the last block 'norm', got .'BatchNorm1d'"):
        reset_head(model, blocks, 0)


def timm_network(name, **options):
    with torch.device("meta"):
        return pytest.importorskip("timm").create_model(name, **options)


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("crossvit_9_240", ["head.1", "head.0"]),
        ("efficientvim_m1", [f"heads.{n}" for n in (3, 2, 1, 0)]),
        ("efficientvim_m1_dist", [f"heads{d}.{n}" for d in ("_dist", "") for n in (3, 2, 1, 0)]),
        ("levit_128s", ["head_dist.linear", "head.linear"]),
        ("repvit_m0_9", ["head.head.l", "head.head_dist.l"]),
        ("volo_d1_224", ["head", "aux_head"]),
        ("mobilevit_xxs", ["head.fc"]),
        ("convnext_atto", ["head.fc"]),
        ("mobilenetv3_small_050", ["classifier"]),
        ("test_vit", ["head"]),
        ("nf_regnet_b0", ["head.fc"]),
        ("resnetv2_50", ["head.fc"]),
    ],
)
def test_all_heads_of_a_network_of_timm_are_replaced_and_it_says_so(name, heads):
    """On the meta device, where a pass has shapes and takes no time."""
    model = timm_network(name)
    replace_head(model, 7)
    assert sorted(find_heads(model)) == sorted(heads)
    last = partition(model)["head"]
    assert all(f"{path}.weight" in last for path in heads)
    assert {model.num_classes, *(c["num_classes"] for c in (model.pretrained_cfg,))} == {7}
    assert model.default_cfg["num_classes"] == 7
    images = torch.empty(2, *model.pretrained_cfg["input_size"], device="meta")
    for mode in (True, False):
        with torch.device("meta"), torch.no_grad():
            outputs = model.train(mode)(images)
            loss = training_loss(model, outputs, torch.zeros(2, dtype=torch.long))
        assert logits_of(outputs).shape == (2, 7) and loss.shape == ()


@pytest.mark.parametrize("name", ["squeezenet1_1", "vit_b_16", "swin_t"])
def test_network_of_torchvision_says_its_new_number_of_classes(name):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
        replace_head(model, 7)
    assert model.num_classes == 7


def test_every_head_is_reset_with_the_seed():
    model, twin = (
        pytest.importorskip("timm").create_model("crossvit_9_240", num_classes=3) for _ in range(2)
    )
    for network in (model, twin):
        reset_head(network, partition(network), 1)
    for head, other in zip(model.head, twin.head, strict=True):
        assert torch.equal(head.weight, other.weight)


def test_network_of_timm_without_classes_is_refused_and_stays_what_it_was():
    model = timm_network("test_vit", num_classes=0)
    before = [(n, p.shape) for n, p in model.named_parameters()]
    with pytest.raises(ValueError, match="classifier 'head' of this VisionTransformer, got Ident"):
        replace_head(model, 3)
    assert [(n, p.shape) for n, p in model.named_parameters()] == before
    assert model.num_classes == 0


SMALL = {
    **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"intermediate_size": 16, "image_size": 32, "patch_size": 16},
}
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "embedding_size": 8}
SWIN = {
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [1, 2],
    "image_size": 32,
    "patch_size": 4,
    "window_size": 4,
}
WORDS = {**SMALL, "vocab_size": 50, "max_position_embeddings": 40, "pad_token_id": 0}
CLASSIFIERS = {
    "ViTForImageClassification": ("vit", SMALL),
    "BeitForImageClassification": ("beit", SMALL),
    "DeiTForImageClassification": ("deit", SMALL),
    "DeiTForImageClassificationWithTeacher": ("deit", SMALL),
    "ResNetForImageClassification": ("resnet", {**STAGES, "layer_type": "basic"}),
    "ConvNextForImageClassification": ("convnext", STAGES),
    "SwinForImageClassification": ("swin", SWIN),
    "TimmWrapperForImageClassification": ("timm_wrapper", {"architecture": "test_resnet"}),
    "BertForSequenceClassification": ("bert", WORDS),
    "RobertaForSequenceClassification": ("roberta", WORDS),
    "DistilBertForSequenceClassification": (
        "distilbert",
        {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "vocab_size": 50},
    ),
    "GPT2ForSequenceClassification": (
        "gpt2",
        {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 50, "pad_token_id": 0},
    ),
}


def transformer(name, **fields):
    transformers = pytest.importorskip("transformers")
    kind, more = CLASSIFIERS[name]
    config = transformers.AutoConfig.for_model(kind, **more, **fields)
    model = getattr(transformers, name)(config)
    words = torch.randint(1, 50, (2, 6), generator=torch.Generator().manual_seed(0))
    return model, words if "Sequence" in name else torch.rand(2, 3, 32, 32)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_of_transformers_agrees_with_its_config_and_makes_the_round_trip(
    name, tmp_path
):
    model, inputs = transformer(name, num_labels=5)
    replace_head(model, 3)
    config = model.config
    assert (config.num_labels, model.num_labels, len(config.label2id)) == (3, 3, 3)
    assert sorted(config.id2label) == [0, 1, 2]
    labels = torch.tensor([0, 2])
    for mode in (True, False):
        outputs = model.train(mode)(inputs)
        assert logits_of(outputs).shape == (2, 3)
        assert training_loss(model, outputs, labels).isfinite()
    if "Teacher" not in name:  # it has no loss of its own
        assert model(inputs, labels=labels).loss.isfinite()
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.config.num_labels == 3
    state = again.state_dict()
    assert all(torch.equal(tensor, state[n]) for n, tensor in model.state_dict().items())


def test_regression_becomes_a_classification_with_a_head_of_several_classes():
    model, inputs = transformer("ViTForImageClassification", num_labels=1)
    model(inputs, labels=torch.rand(2))
    assert model.config.problem_type == "regression"
    replace_head(model, 3)
    assert model(inputs, labels=torch.tensor([0, 2])).loss.isfinite()


@pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")
def test_network_that_peft_adapts_gets_its_head_where_peft_trains_it():
    peft = pytest.importorskip("peft")
    options = {"target_modules": ["query"], "r": 2}
    model, inputs = transformer("BertForSequenceClassification", num_labels=5)
    model = peft.get_peft_model(model, peft.LoraConfig(**options, modules_to_save=["classifier"]))
    replace_head(model, 3)
    assert model(inputs, labels=torch.tensor([0, 2])).logits.shape == (2, 3)
    wrapper = model.base_model.model.classifier
    trains = [
        m.weight.requires_grad
        for m in (wrapper.original_module, *wrapper.modules_to_save.values())
    ]
    assert trains == [False, True]


@pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")
def test_head_that_has_an_adapter_is_refused():
    peft = pytest.importorskip("peft")
    model, _ = transformer("BertForSequenceClassification", num_labels=5)
    model = peft.get_peft_model(model, peft.LoraConfig(target_modules=["classifier"], r=2))
    with pytest.raises(ValueError, match="'classifier' of this .* has an adapter of PEFT"):
        replace_head(model, 3)
    assert model.config.num_labels == 5


class Own(nn.Module):
    """Somebody's network: ``join`` makes its output of what its heads give."""

    def __init__(self, join, **heads):
        super().__init__()
        for name, head in heads.items():
            setattr(self, name, head)
        self.conv, self.norm = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)
        self.embed = nn.Linear(8, 8)
        self.names, self.join, self.num_classes, self.n_classes = [*heads], join, 10, 10

    def forward(self, images):
        features = torch.relu(self.embed(self.norm(self.conv(images)).mean((2, 3))))
        return self.join([getattr(self, name)(features) for name in self.names], features)


def many():
    return nn.ModuleList([nn.Linear(8, 10), nn.Linear(8, 10)])


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = many()

    def forward(self, features):
        return torch.stack([head(features) for head in self.heads]).mean(0)


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    ("network", "heads"),
    [
        (lambda: Own(lambda y, x: y[0], fc=nn.Linear(8, 10)), ["fc"]),
        (lambda: Own(lambda y, x: (y[0], x), fc=nn.Linear(8, 10)), ["fc"]),
        (lambda: Own(lambda y, x: sum(y), a=nn.Linear(8, 10), b=nn.Linear(8, 10)), ["b", "a"]),
        (lambda: Own(lambda y, x: tuple(y), a=nn.Linear(8, 10), b=nn.Linear(8, 10)), ["b", "a"]),
        (lambda: Own(lambda y, x: y[0], fc=Mean()), ["fc.heads.1", "fc.heads.0"]),
        (
            lambda: Own(
                lambda y, x: y[0],
                fc=nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 10)),
            ),
            ["fc.3"],
        ),
        (lambda: Own(lambda y, x: y[0], fc=weight_norm(nn.Linear(8, 10))), ["fc"]),
        (
            lambda: Own(
                lambda y, x: y[0].squeeze(),
                fc=nn.Sequential(nn.Unflatten(1, (8, 1, 1)), nn.Conv2d(8, 10, 1), nn.Flatten()),
            ),
            ["fc.1"],
        ),
        (lambda: nn.DataParallel(Own(lambda y, x: y[0], fc=nn.Linear(8, 10))), ["module.fc"]),
    ],
)
def test_heads_of_somebodys_network_are_those_that_its_logits_come_from(network, heads):
    """Also where they are registered before the trunk."""
    model = network()
    assert find_heads(model) == heads
    blocks = partition(model)
    assert {f"{path}.bias" for path in heads} <= set(blocks["head"])
    assert not any("conv" in name or "embed" in name for name in blocks["head"])
    replace_head(model, 3)
    images = torch.rand(2, 1, 9, 9)
    for mode in (True, False):
        outputs = model.train(mode)(images)
        assert logits_of(outputs).shape == (2, 3)
        assert training_loss(model, outputs, torch.tensor([0, 2])).isfinite()
    own = getattr(model, "module", model)
    assert (own.num_classes, own.n_classes) == (10, 10)


class Unclear(nn.Module):
    """Takes no image of a usual size, and has two layers that could be the head."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, features, which):
        return (self.first if which else self.second)(features)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Unclear, "cannot be told: 'second' and 'first' have as many outputs"),
        (
            lambda: Own(lambda y, x: torch.cat(y, 1), a=nn.Linear(8, 5), b=nn.Linear(8, 5)),
            r"found none: its outputs \[2, 10\] come from",
        ),
        (
            lambda: Own(lambda y, x: y[0], fc=nn.Sequential(nn.Linear(8, 5), nn.LayerNorm(5))),
            r"cannot be told: when \['fc.0'\] have 10007 outputs, the network fails",
        ),
    ],
)
def test_network_whose_heads_cannot_be_told_is_refused_and_stays_what_it_was(network, message):
    model = network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=message):
        replace_head(model, 3)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


class Forked(nn.Module):
    """Which of two layers makes the logits depends on a plain attribute."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.body, self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 10), nn.Linear(8, 10)
        self.first = first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        head = self.a if self.first else self.b
        return head(self.body(x))  # type: ignore[no-any-return]


def test_networks_of_one_class_may_have_different_heads() -> None:
    for first in (True, False):
        model = Forked(first)
        replace_head(model, 2)
        assert model(torch.zeros(3, 6)).shape == (3, 2)
        assert (model.a.out_features, model.b.out_features) == ((2, 10) if first else (10, 2))


def test_another_output_of_the_same_width_is_no_head() -> None:
    class WithCentre(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.fc, self.centre = nn.Linear(6, 8), nn.Linear(8, 2), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = self.body(x)
            return self.fc(h), self.centre(h)

    assert find_heads(WithCentre()) == ["fc"]

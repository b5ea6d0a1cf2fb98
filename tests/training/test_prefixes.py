"""Stored outputs of frozen prefixes: the same bits as without, wherever and however they lie."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import NETWORKS
from test_families_train import digits_of_each_class
from transfer import Transfer

from optuna_layerwise.data import load_data
from optuna_layerwise.models.cutting import Cut
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import BatchNorm, Recipe
from optuna_layerwise.training import Compute, Fit, Trainer
from optuna_layerwise.training import prefixes as prefixes_module
from optuna_layerwise.training.prefixes import Prefix, PrefixStore, Shelf

BLOCKS = ("stem", "stage1", "stage2", "stage3", "head")
OFF = Compute(prefix_memory=0, prefix_disk=0)
RECIPE = Recipe(lr=3e-3, epochs=3, patience=None, batch_size=16)  # 50 images: the last batch has 2
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _small_networks_are_worth_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Networks of tests are so small that reading their features is slower than computing."""
    least = dict.fromkeys(prefixes_module.LEAST_FLOPS_PER_BYTE, 0.0)
    monkeypatch.setattr(prefixes_module, "LEAST_FLOPS_PER_BYTE", least)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def make(digits: Transfer, compute: Compute, recipe: Recipe = RECIPE) -> Trainer:
    return Trainer(digits.spec, digits.splits, recipe, device="cpu", compute=compute)


def policy(first: int) -> Policy:
    return Policy({block: float(index >= first) for index, block in enumerate(BLOCKS)})


def train(trainer: Trainer, policy: Policy, seed: int = 0) -> tuple[Fit, dict[str, torch.Tensor]]:
    """The result and the weights of one training."""
    model, data = trainer.model(), trainer.data
    fit = trainer.train(policy, data.train, data.val, seed, model=model)
    return fit, model.state_dict()


def assert_same(
    ours: tuple[Fit, dict[str, torch.Tensor]], theirs: tuple[Fit, dict[str, torch.Tensor]]
) -> None:
    assert ours[0].history == theirs[0].history
    assert all(torch.equal(tensor, theirs[1][name]) for name, tensor in ours[1].items())


@pytest.mark.sweep
@pytest.mark.parametrize("bn", ["eval_frozen", "train", "eval_all"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_trainings_with_stored_prefixes_have_the_bits_of_those_without(
    digits: Transfer, bn: BatchNorm, optimizer: Any
) -> None:
    recipe = dataclasses.replace(RECIPE, bn=bn, optimizer=optimizer)
    stored, plain = make(digits, Compute(), recipe), make(digits, OFF, recipe)
    for seed in range(2):  # the second finds what the first has stored
        for first in range(5):
            ours, theirs = train(stored, policy(first), seed), train(plain, policy(first), seed)
            assert_same(ours, theirs)
    assert stored.engine.store.used["memory"] > 0 == plain.engine.store.used["memory"]


@pytest.mark.sweep
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_features_keep_their_order_in_memory(digits: Transfer, place: str) -> None:
    budget = {"prefix_memory": 2**20 if place == "memory" else 0}
    stored = make(digits, Compute(channels_last=True, **budget))
    plain = make(digits, dataclasses.replace(OFF, channels_last=True))
    for first in (2, 3, 3):
        assert_same(train(stored, policy(first)), train(plain, policy(first)))
    shelves = [s for s in stored.engine.store._shelves.values() if s is not None]
    assert {shelf.place for shelf in shelves} == {place}
    assert all(shelf.channels_last for shelf in shelves)
    found = shelves[0].read(torch.tensor([1, 0]), CPU)
    assert found is not None and found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.sweep(name="resnet20")
@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "mobilenet_v2", "efficientnet_b0", "timm/vit_tiny_patch16_224"),
        *("transformers/convnext", "resnet20"),
        *("densenet121", "vgg11_bn", "convnext_tiny", "swin_t", "googlenet"),
    ],
)
def test_every_family_trains_to_the_same_bits(name: str) -> None:
    network = NETWORKS[name]
    splits = load_data("digits", image_size=8)
    train_split, val = (
        digits_of_each_class(part, 2, network.image_size) for part in (splits.train, splits.val)
    )
    data = dataclasses.replace(splits, train=train_split, val=val)
    recipe = Recipe(epochs=2, batch_size=4, patience=None)
    ends = []
    for compute in (Compute(), OFF):
        trainer = Trainer(network.spec, data, recipe, device="cpu", compute=compute)
        blocks = list(trainer.blocks)
        for trained in (blocks[-1:], blocks[len(blocks) // 2 :]):
            ends.append(train(trainer, Policy.uniform(blocks, trained)))
    assert_same(ends[0], ends[2])
    assert_same(ends[1], ends[3])


def test_what_is_stored_costs_no_operations_again(digits: Transfer) -> None:
    trainer = make(digits, Compute())
    first, again = (train(trainer, policy(4), seed)[0].cost for seed in (0, 1))
    assert first.flops_of_all == again.flops_of_all
    assert first.images_seen == again.images_seen == 150
    prefix = sum(trainer.flops[block] for block in BLOCKS[:-1])
    whole = train(make(digits, OFF), policy(4))[0].cost
    passes = 3 * (50 + 100)  # training and validation
    filled = 64 + 3 * 2 + 100  # in batches of 16, in those of an epoch's end, and validation
    assert first.flops == pytest.approx(whole.flops - prefix * (passes - filled), rel=1e-9)
    assert again.flops == pytest.approx(whole.flops - prefix * (passes - 3 * 2), rel=1e-9)


def test_norms_in_train_mode_leave_nothing_to_store_and_that_is_said(digits: Transfer) -> None:
    recipe = dataclasses.replace(RECIPE, bn="train")
    fit, _ = train(make(digits, Compute(), recipe), policy(4))
    assert fit.prefix == "at stem.1"  # the convolution before the first norm
    assert train(make(digits, OFF), policy(4))[0].prefix == "at head"
    assert train(make(digits, Compute()), policy(0))[0].prefix.startswith("none before stem.0")


@pytest.mark.parametrize("n", [0, 1])
def test_other_weights_never_meet_what_the_pretrained_ones_gave(digits: Transfer, n: int) -> None:
    stored, plain = make(digits, Compute()), make(digits, OFF)
    train(stored, policy(4))
    ends = []
    for trainer in (stored, plain):
        model, data = trainer.untrained_model(n), trainer.data
        fit = trainer.train(policy(4), data.train, data.val, 0, model=model, pretrained=False)
        ends.append((fit, model.state_dict()))
    assert_same(*ends)
    assert ends[0][0].prefix == "none is stored"


def test_a_prefix_that_memory_has_no_room_for_lies_on_disk(
    digits: Transfer, tmp_path: Path
) -> None:
    trainer = make(digits, Compute(prefix_memory=0))
    ends = [train(trainer, policy(3)) for _ in range(2)]
    used = trainer.engine.store.used
    assert used["memory"] == 0 < used["disk"]
    assert list(tmp_path.rglob("*.*")) == []  # the file has no name
    for end in ends:
        assert_same(end, train(make(digits, OFF), policy(3)))


def test_what_saves_more_a_byte_displaces_what_saves_less(digits: Transfer) -> None:
    trainer = make(digits, Compute(prefix_memory=400_000, prefix_disk=0))
    for first in (1, 2, 3, 4, 1):
        assert_same(train(trainer, policy(first)), train(make(digits, OFF), policy(first)))
        assert trainer.engine.store.used["memory"] <= 400_000
    shelves = [s for s in trainer.engine.store._shelves.values() if s is not None]
    full = [s for s in trainer.engine.store._shelves.values() if s is None]
    assert full and min(s.value for s in shelves) > 0
    head = trainer.engine.resident(trainer.data.train)
    assert trainer.engine.store._shelves["head", head, 16] is not None


def test_threads_train_at_once_as_one_after_another(digits: Transfer) -> None:
    trainer = make(digits, Compute())
    policies = [policy(first) for first in (4, 3, 4, 1, 2, 4)]

    def history(policy: Policy) -> Any:
        return trainer.train(policy, trainer.data.train, trainer.data.val, 0).history

    with ThreadPoolExecutor(3) as pool:
        at_once = list(pool.map(history, policies))
    assert at_once == [history(policy) for policy in policies]


def shelf_of(n: int) -> Shelf:
    return Shelf("memory", 1.0, torch.zeros(n, 3), torch.zeros(n, dtype=torch.bool))


def test_a_row_is_read_only_once_it_is_known() -> None:
    shelf = shelf_of(4)
    rows = torch.tensor([2, 0])
    assert shelf.read(rows, CPU) is None
    shelf.write(rows, torch.tensor([[2.0] * 3, [0.5] * 3]))
    assert shelf.read(torch.tensor([0, 1]), CPU) is None
    found = shelf.read(torch.tensor([0, 2, 2]), CPU)
    assert found is not None and found[:, 0].tolist() == [0.5, 2.0, 2.0]


@pytest.mark.parametrize(("n", "size"), [(100, 32), (100, 4), (7, 7), (65, 33)])
def test_the_rest_is_computed_once_as_much_has_been_and_in_batches_of_the_size(
    n: int, size: int
) -> None:
    shelf = shelf_of(n)
    generator = torch.Generator().manual_seed(0)
    while not shelf.known.all():
        rows = torch.randperm(n, generator=generator)[:size]
        shelf.write(rows, torch.zeros(size, 3))
        missing = int((~shelf.known).sum())
        assert bool(due := shelf.due(size)) == (shelf.computed >= missing > 0)
        for batch in due:
            assert len(batch) == size
            shelf.write(batch, torch.zeros(size, 3))
    assert shelf.computed <= 2 * (n + size)
    assert shelf.due(size) == []


def test_a_place_is_taken_only_where_reading_beats_computing(
    digits: Transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = {("cpu", "memory"): 1e9, ("cpu", "disk"): 1e9}
    monkeypatch.setattr(prefixes_module, "LEAST_FLOPS_PER_BYTE", least)
    trainer = make(digits, Compute())
    train(trainer, policy(4))
    assert trainer.engine.store.used == {"memory": 0, "disk": 0}


def test_a_full_disk_is_no_place(
    digits: Transfer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = PrefixStore(CPU, memory=0, disk=2**60)
    images = make(digits, OFF).engine.resident(digits.splits.train)
    cut = Cut("head", 0, torch.zeros(1, 3, 8, 8))
    monkeypatch.setattr(Cut, "prefix", lambda *_: torch.zeros(1).expand(1, 2**45))
    assert store.shelf(Prefix(cut, "", 1.0), digits.build(), images, 16, 1.0) is None
    assert store.used == {"memory": 0, "disk": 0}

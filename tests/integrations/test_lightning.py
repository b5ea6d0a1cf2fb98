"""Lightning trains a policy as a plain loop does, and freezes again after a resume."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from optuna_layerwise import frozen, partition
from optuna_layerwise.integrations import LayerFinetuning, layer_groups

lightning = pytest.importorskip("lightning.pytorch")
pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning warns of few workers, short epochs

IMAGES = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3
POLICY = {"stem": 0.0, "trunk": 0.5, "head": 1.0}


def network() -> nn.Module:
    torch.manual_seed(0)
    parts = {
        "stem": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout()),
        "trunk": nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()),
        "head": nn.Linear(64, 3),
    }
    net = nn.Sequential()
    for name, part in parts.items():
        net.add_module(name, part)
    return net


class Classifier(lightning.LightningModule):  # type: ignore[misc,name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> None:
        self.net(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(layer_groups(self, POLICY, lr=1e-2))


def fit(folder: Path, epochs: int, resume: Path | None = None) -> Classifier:
    batches = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=4)
    trainer = lightning.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[LayerFinetuning(POLICY)],
    )
    module = Classifier()
    trainer.fit(module, batches, batches, ckpt_path=resume)
    trainer.save_checkpoint(folder / "last.ckpt", weights_only=False)
    return module


def assert_equal(ours: nn.Module, theirs: nn.Module) -> None:
    state = theirs.state_dict()
    assert [n for n, t in ours.state_dict().items() if not torch.equal(t, state[n])] == []


def test_a_trained_policy_has_the_weights_of_a_plain_loop(tmp_path: Path) -> None:
    module = fit(tmp_path, 3)
    net = network()
    optimizer = torch.optim.Adam(layer_groups(net, POLICY, lr=1e-2))
    with frozen(net, partition(net), POLICY):
        for first in [0, 4, 8] * 3:
            net.train()
            batch = slice(first, first + 4)
            nn.functional.cross_entropy(net(IMAGES[batch]), LABELS[batch]).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert_equal(module.net, net)
    assert all(p.requires_grad for p in module.parameters()), "it is given back as it was"
    assert module.net.train()[0].training


def test_a_resumed_fit_freezes_again_and_has_the_weights_of_an_uninterrupted_one(
    tmp_path: Path,
) -> None:
    whole = fit(tmp_path, 4)
    part = tmp_path / "part"
    part.mkdir()
    fit(part, 2)
    resumed = fit(part, 4, resume=part / "last.ckpt")
    assert_equal(resumed.net, whole.net)
    start = network().state_dict()
    stem = {n: t for n, t in resumed.net.state_dict().items() if n.startswith("stem")}
    assert len(stem) == 7 and all(torch.equal(t, start[n]) for n, t in stem.items())


def test_an_error_in_a_fit_leaves_nothing_frozen() -> None:
    class Broken(Classifier):
        def training_step(self, batch: object, _: int) -> torch.Tensor:
            raise ZeroDivisionError

    module = Broken()
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[LayerFinetuning(POLICY)],
    )
    with pytest.raises(ZeroDivisionError):
        trainer.fit(module, DataLoader(TensorDataset(IMAGES, LABELS), batch_size=4))
    assert all(p.requires_grad for p in module.parameters())
    assert copy.deepcopy(module.net).train()[0].training

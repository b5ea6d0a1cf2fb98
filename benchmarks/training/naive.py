"""Search how to fine-tune MobileNetV2 0.35: a training loop as one writes it first.

The network is built and read from its file for every trial, images are decoded and resized in
every epoch, and all parameters get gradients: those of frozen blocks are merely in no group.

    python benchmarks/training/naive.py leaves/ mobilenet.pth --search biotune --trials 140
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import mobilenet_v2

from optuna_layerwise import BioTuneSampler, CatCMAwMSampler, Encoding, partition
from optuna_layerwise.models import Granularity

SEARCHES = {"biotune": ("biotune", BioTuneSampler), "revo": ("binary", CatCMAwMSampler)}
LR = 1e-3
BATCH = 32


class Shuffled(Sampler[int]):
    """A seeded permutation for every epoch; torch's `RandomSampler` draws two, and drops one."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.generator = n, torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.n, generator=self.generator).tolist())


class Objective:
    """Fine-tunes what a trial suggests; its value is the best epoch's validation accuracy.

    Args:
        folder: With the folders ``train`` and ``val``, each with a folder per class.
        weights: A state dict of the network without its last layer.
        encoding: Of the trial's parameters.
        granularity: Of the blocks.
        image_size: Pixels.
        epochs: Of every trial.
        seed: Of the new last layer, the order of the images, and dropout.
        device: Where it trains.
        workers: Processes that decode; 0 decodes in this one.
    """

    def __init__(
        self,
        folder: Path,
        weights: Path,
        *,
        encoding: str,
        granularity: Granularity = "stage",
        image_size: int = 64,
        epochs: int = 10,
        seed: int = 0,
        device: str = "cpu",
        workers: int = 0,
    ) -> None:
        transform = transforms.Compose(
            [
                transforms.Resize(round(image_size * 232 / 224)),
                transforms.CenterCrop(image_size),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ]
        )
        self.train_set = ImageFolder(folder / "train", transform)
        self.val_set = ImageFolder(folder / "val", transform)
        self.weights, self.epochs, self.seed = weights, epochs, seed
        self.device, self.workers = torch.device(device), workers
        self.blocks = partition(self.make_model(), granularity=granularity)
        self.encoding = Encoding.preset(encoding, self.blocks, lr=LR)

    def make_model(self) -> nn.Module:
        """The pretrained network with a new last layer."""
        model = mobilenet_v2(width_mult=0.35)
        model.load_state_dict(torch.load(self.weights, weights_only=True), strict=False)
        torch.manual_seed(self.seed)
        model.classifier[1] = nn.Linear(model.last_channel, len(self.train_set.classes))
        return model.to(self.device)

    def loader(self, images: ImageFolder, batch_size: int, *, shuffle: bool) -> DataLoader:
        """Batches; with a generator of its own, so that it leaves dropout's alone."""
        return DataLoader(
            images,
            batch_size,
            sampler=Shuffled(len(images), self.seed) if shuffle else None,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),
        )

    def __call__(self, trial: optuna.Trial) -> float:
        """Train the trial's policy."""
        policy = self.encoding.suggest(trial)  # block -> multiplier of the rate, 0 is frozen
        model = self.make_model()
        groups = [
            {"params": [model.get_parameter(name) for name in names], "lr": policy[block] * LR}
            for block, names in self.blocks.items()
            if policy[block] > 0
        ]
        optimizer = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs)
        train_loader = self.loader(self.train_set, BATCH, shuffle=True)
        val_loader = self.loader(self.val_set, 256, shuffle=False)
        torch.manual_seed(self.seed)
        best = 0.0
        for _ in range(self.epochs):
            model.train()
            for block, names in self.blocks.items():
                if policy[block] == 0:  # statistics of frozen BatchNorms do not move
                    for name in names:
                        model.get_submodule(name.rpartition(".")[0]).eval()
            for images, labels in train_loader:
                images, labels = images.to(self.device), labels.to(self.device)
                loss = nn.functional.cross_entropy(model(images), labels)
                model.zero_grad()
                loss.backward()
                optimizer.step()
                if not math.isfinite(loss.item()):
                    return math.nan
            schedule.step()
            best = max(best, self.accuracy(model, val_loader))
        return best

    def accuracy(self, model: nn.Module, loader: DataLoader) -> float:
        """The share of images that are classified right."""
        model.eval()
        right = 0
        with torch.no_grad():
            for images, labels in loader:
                outputs = model(images.to(self.device))
                right += (outputs.argmax(dim=1).cpu() == labels).sum().item()
        return right / len(loader.dataset)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with train and val")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--search", choices=SEARCHES, default="biotune")
    parser.add_argument("--trials", type=int, default=140)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args(arguments)
    encoding, sampler = SEARCHES[args.search]
    objective = Objective(
        args.folder,
        args.weights,
        encoding=encoding,
        image_size=args.image_size,
        epochs=args.epochs,
        device=args.device,
        workers=args.workers,
    )
    study = optuna.create_study(
        direction="maximize", sampler=sampler(seed=0, encoding=objective.encoding)
    )
    study.optimize(objective, n_trials=args.trials)
    print(study.best_value, dict(objective.encoding.decode(study.best_params)))


if __name__ == "__main__":
    main()

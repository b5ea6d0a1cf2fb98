"""Search how to fine-tune MobileNetV2 0.35: a training loop by someone who knows where time goes.

Images are decoded once and stay on the device, the weights stay in memory, and frozen blocks need
no gradients, so that autograd stops at the lowest trained one. On CUDA: bfloat16 autocast and the
fused optimizer.

    python benchmarks/training/careful.py leaves/ mobilenet.pth --search biotune --trials 140
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Sequence
from pathlib import Path

import optuna
import torch
from torch import nn
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import mobilenet_v2

from optuna_layerwise import BioTuneSampler, CatCMAwMSampler, Encoding, partition
from optuna_layerwise.models import Granularity

SEARCHES = {"biotune": ("biotune", BioTuneSampler), "revo": ("binary", CatCMAwMSampler)}
LR = 1e-3
BATCH = 32


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
    ) -> None:
        self.epochs, self.seed, self.device = epochs, seed, torch.device(device)
        self.train_pixels, self.train_labels = self.decode(folder / "train", image_size)
        self.val_pixels, self.val_labels = self.decode(folder / "val", image_size)
        n_classes = int(self.train_labels.max()) + 1
        self.model = mobilenet_v2(width_mult=0.35, num_classes=n_classes)
        self.model.load_state_dict(torch.load(weights, weights_only=True), strict=False)
        self.model.to(self.device)
        self.pretrained = copy.deepcopy(self.model.state_dict())
        self.blocks = partition(self.model, granularity=granularity)
        self.encoding = Encoding.preset(encoding, self.blocks, lr=LR)

    def decode(self, folder: Path, image_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """All images, uint8 [N, 3, H, W], and their labels, on the device."""
        transform = transforms.Compose(
            [
                transforms.Resize(round(image_size * 232 / 224)),
                transforms.CenterCrop(image_size),
                transforms.PILToTensor(),
            ]
        )
        pixels, labels = zip(*ImageFolder(folder, transform), strict=True)
        return torch.stack(pixels).to(self.device), torch.tensor(labels).to(self.device)

    def reset(self) -> None:
        """The pretrained weights and a new last layer."""
        self.model.load_state_dict(self.pretrained)
        torch.manual_seed(self.seed)
        old = self.model.classifier[1]
        self.model.classifier[1] = nn.Linear(old.in_features, old.out_features).to(self.device)

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Of the images, normalised to [-1, 1]."""
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model(pixels.float().div_(255).sub_(0.5).div_(0.5)).float()

    def __call__(self, trial: optuna.Trial) -> float:
        """Train the trial's policy."""
        policy = self.encoding.suggest(trial)  # block -> multiplier of the rate, 0 is frozen
        self.reset()
        groups, frozen = [], []
        for block, names in self.blocks.items():
            parameters = [self.model.get_parameter(name) for name in names]
            for parameter in parameters:
                parameter.requires_grad_(policy[block] > 0)
            if policy[block] > 0:
                groups.append({"params": parameters, "lr": policy[block] * LR})
            else:
                frozen += [self.model.get_submodule(name.rpartition(".")[0]) for name in names]
        optimizer = torch.optim.Adam(groups, fused=self.device.type == "cuda")
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs)
        order = torch.Generator().manual_seed(self.seed)
        torch.manual_seed(self.seed)
        best = 0.0
        for _ in range(self.epochs):
            self.model.train()
            for module in frozen:  # statistics of frozen BatchNorms do not move
                module.eval()
            total = torch.zeros((), device=self.device)
            indices = torch.randperm(len(self.train_labels), generator=order).to(self.device)
            for batch in indices.split(BATCH):
                logits = self.logits(self.train_pixels[batch])
                loss = nn.functional.cross_entropy(logits, self.train_labels[batch])
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                total += loss.detach()
            if not total.isfinite():
                return math.nan
            schedule.step()
            best = max(best, self.accuracy())
        return best

    @torch.inference_mode()
    def accuracy(self) -> float:
        """The share of validation images that are classified right."""
        self.model.eval()
        guesses = [self.logits(pixels).argmax(dim=1) for pixels in self.val_pixels.split(256)]
        right = (torch.cat(guesses) == self.val_labels).sum().item()
        return right / len(self.val_labels)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with train and val")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--search", choices=SEARCHES, default="biotune")
    parser.add_argument("--trials", type=int, default=140)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(arguments)
    encoding, sampler = SEARCHES[args.search]
    objective = Objective(
        args.folder,
        args.weights,
        encoding=encoding,
        image_size=args.image_size,
        epochs=args.epochs,
        device=args.device,
    )
    study = optuna.create_study(
        direction="maximize", sampler=sampler(seed=0, encoding=objective.encoding)
    )
    study.optimize(objective, n_trials=args.trials)
    print(study.best_value, dict(objective.encoding.decode(study.best_params)))


if __name__ == "__main__":
    main()

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from optuna_layerwise.models import ModelSpec, ResNet20


@pytest.fixture
def spec(shared_data: Path) -> ModelSpec:
    return ModelSpec(name="resnet20", weights=shared_data / "weights" / "resnet20-12fca82f.th")


def photographs(shared_data: Path) -> torch.Tensor:
    paths = [
        path for name in ("rsmas", "dtd10", "citrus") for path in (shared_data / name).glob("*/*")
    ]
    images = [Image.open(path).convert("RGB").resize((32, 32)) for path in sorted(paths)[::16]]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return pixels.permute(0, 3, 1, 2) / 255


def test_it_has_the_size_of_the_paper() -> None:
    """Table 6: 0.27 M parameters; 20 layers."""
    model = ResNet20()
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == 0.27
    assert sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in model.modules()) == 20


def test_stages_halve_the_resolution_and_double_the_channels() -> None:
    model, x = ResNet20().eval(), torch.zeros(1, 16, 32, 32)
    for name, shape in (("layer1", (16, 32)), ("layer2", (32, 16)), ("layer3", (64, 8))):
        x = model.get_submodule(name)(x)
        assert (x.shape[1], x.shape[2]) == shape


def test_published_weights_fill_all_but_a_head_of_another_size(spec: ModelSpec) -> None:
    state = torch.load(spec.weights, map_location="cpu", weights_only=True)["state_dict"]
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    assert {n: t.shape for n, t in state.items()} == {
        n: t.shape for n, t in spec.build(10).state_dict().items() if "num_batches" not in n
    }
    small = spec.build(3).state_dict()
    assert all(torch.equal(small[n], t) for n, t in state.items() if not n.startswith("linear."))
    assert (spec.image_size, spec.mean) == (32, (0.485, 0.456, 0.406))


def test_published_weights_meet_the_statistics_that_they_were_trained_with(
    spec: ModelSpec, shared_data: Path
) -> None:
    """Of the last norms, which see every shortcut: with the zero channels all on one side, the
    error below is 0.33 to 0.45 standard deviations, and with another normalisation larger still.
    """
    model = spec.build(10).eval()
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (spec.mean, spec.std))
    inputs: dict[str, torch.Tensor] = {}
    norms = {n: m for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, norm in norms.items():
        norm.register_forward_pre_hook(lambda _, x, name=name: inputs.update({name: x[0]}))
    with torch.no_grad():
        model((photographs(shared_data) - mean) / std)
    for name in ("layer2.1.bn1", "layer2.2.bn1", "layer3.1.bn1", "layer3.2.bn1"):
        seen, norm = inputs[name].mean(dim=(0, 2, 3)), norms[name]
        error = ((seen - norm.running_mean) ** 2 / norm.running_var).mean().sqrt()
        assert error < 0.25, name

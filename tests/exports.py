"""Exported folders of networks that nobody trained, and real photographs to classify."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_model
from sklearn.datasets import load_sample_images

from optuna_layerwise import ModelSpec
from optuna_layerwise.models import logits_of
from optuna_layerwise.models.heads import find_heads
from optuna_layerwise.records.saved_network import SavedNetwork
from optuna_layerwise.reporting.export_script import script_files


def export_of(spec: ModelSpec, folder: Path, **fields: Any) -> Path:
    """What `export` writes of a network with random weights and five classes."""
    torch.manual_seed(0)
    model: Any = spec.build(5).train()
    for parameter in model.parameters():
        if parameter.ndim > 1:  # some begin with so small weights that all images look alike
            torch.nn.init.kaiming_normal_(parameter)
    for module in model.modules():
        if hasattr(module, "running_mean"):
            module.momentum = 1.0  # MNASNet's would take thousands of batches
    pixels = torch.stack([torch.from_numpy(image.copy()) for image in load_sample_images().images])
    pieces = torch.cat(pixels.permute(0, 3, 1, 2).float().div(255).split(160, dim=3)[:3])
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (spec.mean, spec.std))
    seen = torch.nn.functional.interpolate((pieces - mean) / std, (spec.image_size,) * 2)
    with torch.no_grad():  # running statistics of norms that are not those of a new network
        model(seen)
        spread = logits_of(model.eval()(seen)).std()  # so that no class is certain
        for parameter in model.get_submodule(find_heads(model)[0]).parameters():
            parameter /= spread
    config = (
        json.loads(model.config.to_json_string(use_diff=False)) if "transf" in spec.name else {}
    )
    network = SavedNetwork(
        model=spec.name,
        args={} if config else spec.all_args,
        config=config,
        classes=("ash", "birch", "cedar; fir", "elm", "=1+1"),
        mean=spec.mean,
        std=spec.std,
        image_size=spec.image_size,
        plausible=0.2,
    )
    network = dataclasses.replace(network, **fields)
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"policy": "{}", **network.as_metadata()}
    save_model(model, str(folder / "model.safetensors"), metadata=metadata)
    for name, text in script_files(network).items():
        (folder / name).write_text(text)
    return folder


def photos(folder: Path, n: int = 20) -> list[Path]:
    """Pieces of scikit-learn's two photographs, in several sizes, kinds and formats."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, found = np.random.default_rng(0), []
    for index in range(n):
        whole = Image.fromarray(load_sample_images().images[index % 2])
        left, top = (int(rng.integers(0, most)) for most in (300, 150))
        piece = whole.crop((left, top, left + 240 + 2 * index, top + 200 + 3 * index))
        name, mode = (("png", "RGBA"), ("jpg", "RGB"), ("png", "P"), ("jpg", "L"))[index % 4]
        if mode == "RGBA":
            piece.putalpha(piece.convert("L"))
        exif = Image.Exif()
        exif[274] = 1 + index % 8  # the orientation
        path = folder / f"{index:02}.{name}"
        piece.convert(mode).save(path, exif=exif)
        found.append(path)
    return found

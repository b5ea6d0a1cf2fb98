"""What the benchmarks of the engine take and start with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.records import processor, provenance
from optuna_layerwise import ModelSpec
from optuna_layerwise.training import resolve_device

SHARED = Path("../shared/data")
WEIGHTS = SHARED / "weights/mobilenet_v2_w035_imagenet_notop.pth"


def options(doc: str | None, *, data: str, output: str) -> argparse.ArgumentParser:
    """A parser with what all of them have; ``data`` and ``output`` are defaults."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    results = Path("benchmarks/training/results")
    parser.add_argument("--data", default=SHARED / data, type=Path, help="folder of images")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    parser.add_argument("--output", type=Path, default=results / output)
    parser.add_argument("--commit", help="of this code, where it is a copy without its git")
    parser.add_argument("--table", action="store_true", help="write the table alone")
    return parser


def begin(args: argparse.Namespace) -> dict[str, Any]:
    """Set torch's threads; returns the provenance of what is measured now."""
    torch.set_num_threads(args.threads)
    device = resolve_device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return provenance(device=name, threads=args.threads, commit=args.commit)


def mobilenet(image_size: int, weights: Path = WEIGHTS) -> ModelSpec:
    """MobileNetV2 0.35 with the shared weights."""
    return ModelSpec(
        name="mobilenet_v2",
        args={"width_mult": 0.35},
        weights=weights,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        image_size=image_size,
    )

"""An exported network as one program that other software runs: ONNX, and torch.export.

The program takes RGB pixels and gives answers, such as probabilities: normalisation and softmax
are inside it, and so are all networks of a team.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from optuna_layerwise.io.files import whole_file, write_whole
from optuna_layerwise.models.outputs import logits_of
from optuna_layerwise.models.team import Team
from optuna_layerwise.prediction.exported import Exported
from optuna_layerwise.tasks import task_of

_OPSET = 18
_TOLERANCE = 1e-4
"""Most that a probability may differ between the program and the network."""


class _Program(nn.Module):
    """Pixels uint8 [n, 3, H, W] to probabilities float32 [n, classes]."""

    def __init__(self, exported: Exported) -> None:
        super().__init__()
        model = exported.model
        self.members = nn.ModuleList(model.members if isinstance(model, Team) else [model])
        self.weights = model.weights if isinstance(model, Team) else (1.0,)
        self.task = task_of(exported.network)
        mean, std = exported.network.mean, exported.network.std
        self.mean = nn.Buffer(torch.tensor(mean).view(3, 1, 1))
        self.std = nn.Buffer(torch.tensor(std).view(3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        images = (pixels.float() / 255 - self.mean) / self.std
        parts = [
            weight * self.task.answered(logits_of(member(images)).float())
            for member, weight in zip(self.members, self.weights, strict=True)
        ]
        return torch.stack(parts).sum(dim=0)


def write_onnx(exported: Exported, path: str | os.PathLike[str], pixels: torch.Tensor) -> float:
    """Write the network as ONNX (opset 18, any number of images), and compare it with torch.

    Args:
        exported: The network.
        path: The file; what was there is replaced.
        pixels: Images to compare on, uint8 [n, 3, H, W], at least two.

    Returns:
        The largest difference of a probability between onnxruntime and torch on these images.

    Raises:
        ValueError: if a package is missing, the network cannot be written as ONNX, or
            onnxruntime's probabilities differ from torch's.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"ONNX needs packages that cannot be imported ({error}); install them with: "
            "pip install 'optuna-layerwise[onnx]'"
        ) from error
    program, path = _Program(exported).cpu().eval(), Path(path)
    with _converted(program, pixels, "ONNX") as made, whole_file(path) as unfinished:
        written = torch.onnx.export(
            made,
            (pixels[:2],),
            dynamo=True,
            opset_version=_OPSET,
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("images", min=1)}},
            verbose=False,
        )
        assert written is not None
        written.save(unfinished)
        session = onnxruntime.InferenceSession(
            unfinished.read_bytes(), providers=["CPUExecutionProvider"]
        )
        found = session.run(["probabilities"], {"pixels": pixels.numpy()})[0]
        return _compared(program, pixels, torch.from_numpy(np.asarray(found)), path)


def write_program(exported: Exported, path: str | os.PathLike[str], pixels: torch.Tensor) -> float:
    """Write the network as a program of `torch.export`, and compare it with the network.

    Args:
        exported: The network.
        path: The file, ``.pt2``; what was there is replaced.
        pixels: See `write_onnx`.

    Returns:
        The largest difference of a probability on these images.

    Raises:
        ValueError: if the network cannot be written so, or the probabilities differ.
    """
    program, path = _Program(exported).cpu().eval(), Path(path)
    with _converted(program, pixels, "a program of torch.export") as made:
        images = {"pixels": {0: torch.export.Dim("images", min=1)}}
        content = io.BytesIO()
        torch.export.save(torch.export.export(made, (pixels[:2],), dynamic_shapes=images), content)
        loaded = torch.export.load(io.BytesIO(content.getvalue())).module()
        difference = _compared(program, pixels, loaded(pixels), path)
        write_whole(path, content.getvalue())
        return difference


@contextlib.contextmanager
def _converted(program: _Program, pixels: torch.Tensor, what: str) -> Iterator[_Program]:
    """The program, for a converter that may refuse it, and whose warnings are not for the user."""
    if len(pixels) < 2:
        raise ValueError(f"expected at least two images to compare on, got {len(pixels)}")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield program
    except (OSError, ValueError):
        raise
    except Exception as error:  # converters raise what they like
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"this network cannot be written as {what}: {type(error).__name__}: {reason}. The "
            "folder's predict.py runs it with torch"
        ) from error


def _compared(program: _Program, pixels: torch.Tensor, found: torch.Tensor, path: Path) -> float:
    with torch.no_grad():
        difference = float((program(pixels) - found).abs().max())
    if not difference <= _TOLERANCE:
        raise ValueError(
            f"the probabilities of {path.name} differ by up to {difference:.2g} from those of the "
            f"network, expected at most {_TOLERANCE:g}; it was not kept"
        )
    return difference

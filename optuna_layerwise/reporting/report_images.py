"""The test images that people should look at, with small pictures where they may be shown."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from optuna_layerwise.records.predictions import (
    Predictions,
    most_confident_mistakes,
    most_disputed,
)
from optuna_layerwise.reporting.report_grid import Grid, clean, count
from optuna_layerwise.reporting.report_page import Section
from optuna_layerwise.visualization.look import cut

_LONG = 40
"""Letters of a name."""


def images_section(found: Predictions, *, images: bool) -> Section:
    """The most confident mistakes, and what the members of a team disagree about.

    Args:
        found: What was answered.
        images: Whether thumbnails may be shown.
    """
    wrong = int((found.answers != found.labels).sum())
    n = len(found.labels)
    words = [f"{count(wrong)} of {count(n)} test images are answered wrong."]
    mistakes, disputed = most_confident_mistakes(found), most_disputed(found)
    grids = []
    if len(mistakes):
        grids.append(
            Grid(
                "Wrong, and sure of it: look for wrong labels and for what is missing in training",
                ["image", "is", "answered", "with"],
                [[*_said(found, i), f"{found.confidence[i]:.1%}"] for i in mistakes.tolist()],
                pictures=_pictures(found, mistakes.tolist()) if images else (),
            )
        )
    if len(disputed):
        grids.append(
            Grid(
                "The members of the team disagree: have these checked by a person",
                ["image", "is", "answered", "members"],
                [[*_said(found, i), _votes(found, i)] for i in disputed.tolist()],
                pictures=_pictures(found, disputed.tolist()) if images else (),
            )
        )
    return Section("Images to look at", words, grids=grids)


def class_name(found: Predictions, label: int) -> str:
    """The name of a class as people may see it, without its middle where it is long."""
    return cut(clean(found.classes[label]), _LONG)


def _said(found: Predictions, i: int) -> list[str]:
    names = (class_name(found, int(label)) for label in (found.labels[i], found.answers[i]))
    return [cut(clean(found.names[i]), _LONG), *names]


def _votes(found: Predictions, i: int) -> str:
    assert found.members is not None
    labels, votes = np.unique(found.members[:, i].argmax(axis=1), return_counts=True)
    order = np.argsort(-votes, kind="stable")
    return ", ".join(f"{votes[j]} × {class_name(found, int(labels[j]))}" for j in order)


def _pictures(found: Predictions, wanted: list[int]) -> list[str]:
    """Data URIs; empty for an image that has no thumbnail."""
    places = {image: place for place, image in enumerate(found.pictured.tolist())}
    return [_png(found.thumbnails[places[i]]) if i in places else "" for i in wanted]


def _png(pixels: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"

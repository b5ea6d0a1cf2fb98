"""What a report says of single classes, from the file of predictions alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from optuna_layerwise.analysis.per_class import (
    Calibration,
    PerClass,
    calibration,
    confusion,
    per_class,
)
from optuna_layerwise.records.final import Estimate, Final
from optuna_layerwise.records.predictions import Predictions, read_predictions
from optuna_layerwise.reporting.report_grid import Grid, clean, count, number
from optuna_layerwise.reporting.report_images import class_name, images_section
from optuna_layerwise.reporting.report_page import Section
from optuna_layerwise.visualization import figures

_IN_MATRIX = 20
_IN_TABLE = 40
"""Classes with a row."""
_BELOW = 0.05
"""A class is weak whose recall or precision is that much smaller than the accuracy."""
_MOST_WEAK = 8
"""Classes with a sentence."""
_MOST_MISTAKES = 10
"""Pairs of classes that are confused."""
_FEW_IMAGES = 10
"""Fewer test images of a class tell little."""


def class_sections(final: Final, *, images: bool) -> Iterator[Section]:
    """Class by class, calibration, and images to look at; nothing where no file was saved.

    Args:
        final: The result.
        images: Whether thumbnails may be shown.
    """
    if final.predictions is None:
        return
    found = read_predictions(final.predictions)
    if found is None:
        where = clean(final.predictions.get("path", ""))
        yield Section(
            "Class by class",
            warnings=[
                "The predictions of the test images are not where they were saved, in "
                f"{where}, or the file there is another one. Nothing can be said of single "
                "classes and images."
            ],
        )
        return
    results = per_class(found)
    grids = [_table(found, results), _matrix(found, results)]
    if len(found.classes) > _IN_MATRIX and len(results.mistakes):
        grids.append(_frequent(found, results))
    yield Section("Class by class", list(_lacking(found, results)), grids=grids)
    reliable = calibration(found)
    yield Section(
        "Can its probabilities be believed?",
        list(_believed(reliable, results.accuracy)),
        grids=[_bins(reliable)],
        figures=[figures.reliability(reliable)],
    )
    yield images_section(found, images=images)


def _with_interval(share: Estimate | None) -> str:
    return "-" if share is None else f"{number(share.value)} ({_bounds(share)})"


def _bounds(share: Estimate) -> str:
    return f"{share.low:.3f} to {share.high:.3f}"


def _lacking(found: Predictions, results: PerClass) -> Iterator[str]:
    """What each weak class lacks, a sentence or two for each."""
    weak = results.weak(_BELOW)
    for label in weak[:_MOST_WEAK]:
        yield " ".join(_about(found, results, label))
    if len(weak) > _MOST_WEAK:
        yield f"{len(weak) - _MOST_WEAK} more classes are weak; the table has them."
    if not weak:
        yield (
            f"No class is weak: recall and precision of each are at most {_BELOW} below the "
            f"accuracy of all images, {number(results.accuracy.value)}."
        )
    few = [label for label, n in enumerate(results.images.tolist()) if n < _FEW_IMAGES]
    if few:
        listed = [
            f"{class_name(found, label)} ({results.images[label]})" for label in few[:_MOST_WEAK]
        ]
        more = f" and {len(few) - _MOST_WEAK} more" if len(few) > _MOST_WEAK else ""
        yield (
            f"Little can be said of classes with fewer than {_FEW_IMAGES} test images: "
            f"{', '.join(listed)}{more}."
        )


def _about(found: Predictions, results: PerClass, label: int) -> Iterator[str]:
    name, least = f"“{class_name(found, label)}”", results.accuracy.value - _BELOW
    images, answers = int(results.images[label]), int(results.answers[label])
    recall, precision = results.recall.at(label), results.precision.at(label)
    assert recall is not None
    hits = round(recall.value * images)
    if recall.value < least:
        other = results.taken_for(label)
        instead = (
            f"; the most frequent wrong answer is “{class_name(found, other[0])}” ({other[1]})"
            if other
            else ""
        )
        yield (
            f"{name} is found too rarely: {hits} of its {count(images)} test images, recall "
            f"{_with_interval(recall)}{instead}."
        )
    if precision is not None and precision.value < least:
        other = results.mistaken_for_it(label)
        whose = (
            f", most often for images of “{class_name(found, other[0])}” ({other[1]})"
            if other
            else ""
        )
        who = "It" if recall.value < least else name
        yield (
            f"{who} is answered too often: {count(answers - hits)} of {count(answers)} such "
            f"answers are wrong{whose}; precision {_with_interval(precision)}."
        )
    labelled, usual = int(found.labelled[label]), float(np.median(found.labelled))
    if labelled < usual / 2:
        yield (
            f"It has {count(labelled)} labelled images, and the median class has {count(usual)}: "
            "more of them are the first thing to try."
        )
    if not results.surely_weak[label]:
        yield "There are too few test images to tell this from chance."


def _table(found: Predictions, results: PerClass) -> Grid:
    order = np.argsort(np.nan_to_num(results.f1.values, nan=2.0), kind="stable").tolist()
    rows = []
    for label in order[:_IN_TABLE]:
        other = results.taken_for(label)
        rows.append(
            [
                class_name(found, label),
                *(
                    _with_interval(shares.at(label))
                    for shares in (results.recall, results.precision, results.f1)
                ),
                count(int(results.images[label])),
                count(int(found.labelled[label])),
                f"{class_name(found, other[0])} ({other[1]})" if other else "-",
            ]
        )
    dropped = len(order) - len(rows)
    more = f" The {dropped} classes with larger F1 are left out." if dropped else ""
    header = ["class", "recall", "precision", "F1", "test images", "trained on", "taken for"]
    return Grid(
        "Recall, precision and F1 of each class",
        header,
        rows,
        note="The smallest F1 comes first. Brackets: 95 % interval (Wilson), as if each image was "
        f"drawn for itself; several images of one patient make it too narrow.{more}",
    )


def _matrix(found: Predictions, results: PerClass) -> Grid:
    """Counts, shaded by the share of the row."""
    k = len(found.classes)
    classes = results.most_confused(_IN_MATRIX)
    counts = confusion(found, classes)
    names = [class_name(found, label) for label in classes]
    note = "Rows are true classes, columns answers; cells count test images."
    if k > len(classes):
        names_of_columns = [*names, "others"]
        note += f" The {len(classes)} of {k} classes that take part in most mistakes are shown."
    else:
        names_of_columns, counts = names, counts[:, :-1]
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    signs = np.where(np.eye(*counts.shape) > 0, 1, -1)
    return Grid(
        "Which classes are confused",
        ["true class", *names_of_columns],
        [
            [name, *(count(n) if n else "" for n in row)]
            for name, row in zip(names, counts.tolist(), strict=True)
        ],
        note=note,
        shades=(signs * counts / totals).round(3).tolist(),
    )


def _frequent(found: Predictions, results: PerClass) -> Grid:
    """The single mistakes of many classes, which a matrix of some of them may not have."""
    shown = results.mistakes[:_MOST_MISTAKES].tolist()
    return Grid(
        "The most frequent mistakes",
        ["true class", "answer", "test images"],
        [
            [class_name(found, true), class_name(found, answer), count(n)]
            for true, answer, n in shown
        ],
    )


def _believed(reliable: Calibration, accuracy: Estimate) -> Iterator[str]:
    says, right = f"{reliable.confidence:.1%}", f"{accuracy.value:.1%}"
    if reliable.confidence > accuracy.high:
        how = "it is too sure of itself"
    elif reliable.confidence < accuracy.low:
        how = "it is more often right than it says"
    else:
        how = "these images cannot tell the two apart"
    yield (
        f"Its answers have a probability of {says} on average, and {right} of them are right: "
        f"{how}."
    )
    yield (
        "Among images of about one probability the two differ by "
        f"{100 * reliable.error:.1f} percentage points on average (the expected calibration "
        f"error, {number(reliable.error)}). The fewer images, the more of that is chance."
    )


def _bins(reliable: Calibration) -> Grid:
    return Grid(
        "Answers by their probability",
        ["probability", "says on average", "right", "images"],
        [
            [
                f"{each.low:.0%} to {each.high:.0%}",
                f"{each.confidence:.1%}",
                f"{each.right.value:.1%} ({each.right.low:.0%} to {each.right.high:.0%})",
                count(each.images),
            ]
            for each in reliable.bins
        ],
    )

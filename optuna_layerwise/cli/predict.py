"""The command ``predict``."""

from __future__ import annotations

import contextlib
import csv
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from optuna_layerwise.cli.options import console
from optuna_layerwise.io.files import whole_file
from optuna_layerwise.io.plain import within
from optuna_layerwise.io.texts import visible
from optuna_layerwise.launch.exits import FAILED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optuna_layerwise.prediction import Exported

_STDOUT = Path("-")
_AT_ONCE = 256


def predict_command(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Image files, folders of images, or a .csv that names images; for a network of "
            "texts, files .csv, or .txt with a text in each line."
        ),
    ],
    model: Annotated[
        Path, typer.Option(help="Folder that `export` wrote, or a saved file of weights.")
    ] = Path("exported"),
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write, .csv; - prints the table.")
    ] = _STDOUT,
    top: Annotated[
        int | None,
        typer.Option(
            help="Number of the most probable classes to write. Default: the best one, and the "
            "probabilities of all."
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            help="Column of a .csv that names the image, or has the text.",
            show_default="image or text",
        ),
    ] = None,
    pair: Annotated[
        str | None, typer.Option(help="Column of a .csv that has the second text of each pair.")
    ] = None,
    image_root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of the images of a .csv, if not beside it; repeatable."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device to compute on: auto, cpu, cuda, cuda:1 or mps.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Number of threads that torch uses.", min=1)
    ] = None,
) -> None:
    """Say what an exported network answers for new images, or texts.

    Writes a table with a row for each image or text: its most probable class, the probability, and
    whether the network is unsure, since not exactly one class is plausible. Where the network was
    trained on several labels, its labels and the probability of each; where it was trained on
    numbers, these. An image that cannot
    be decoded has the reason in the column error, and the exit code is then 1.
    """
    if output != _STDOUT and output.suffix.lower() != ".csv":
        raise ValueError(f"--output must end with .csv, or be -, got {str(output)!r}")
    from optuna_layerwise.data.unlabelled import find_images, find_texts
    from optuna_layerwise.prediction import load_exported  # with torch

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    found: dict[str, Any] = {}
    exported = load_exported(model, device=device)
    noun = exported.network.takes
    if noun == "texts":
        found = find_texts(images, column=column or "text", pair=pair)
    elif noun == "images":
        found = find_images(images, column=column or "image", image_root=image_root or ())
    else:
        raise ValueError(
            f"the network in {model} takes arrays, which no file holds: use predict_proba of "
            "load_exported(...) in Python"
        )
    if top is not None and exported.network.task != "classification":
        raise ValueError(
            f"--top is for classes, and the task of {model} is {exported.network.task!r}; leave "
            "it out"
        )
    if top is not None:
        within("--top", top, 1, len(exported.classes))
    counts: Counter[str] = Counter()
    with _opened(output) as file:
        writer = csv.writer(file)
        writer.writerow(header := [noun[:-1], *_header(exported, top)])
        of_classes = exported.network.task == "classification"
        rows = _rows if of_classes else _other_rows
        for row in rows(exported, found, top, counts, len(header)):
            writer.writerow(row)
    unsure, bad = counts.pop("unsure", 0), counts.pop("error", 0)
    if output != _STDOUT:
        named = ", ".join(f"{n} {visible(name)}" for name, n in counts.most_common(5))
        more = ", ..." if len(counts) > 5 else ""
        console.print(
            f"wrote {output}: {sum(counts.values())} {noun} ({named}{more}), {unsure} of them "
            "unsure"
            if of_classes
            else f"wrote {output}: {len(found) - bad} {noun}",
            markup=False,
            soft_wrap=True,
        )
    if bad:
        print(
            f"error: {bad} of {len(found)} {noun} cannot be decoded; the column error says why",
            file=sys.stderr,
        )
        raise typer.Exit(FAILED)


def _header(exported: Exported, top: int | None) -> list[str]:
    if exported.network.task == "regression":
        return [*exported.classes, "error"]
    if exported.network.task == "multilabel":
        return ["labels", *(f"p({name})" for name in exported.classes), "error"]
    more = range(2, (top or 1) + 1)
    header = ["class", "probability", "unsure", "plausible", "error"]
    header += [name for n in more for name in (f"class_{n}", f"probability_{n}")]
    return header + ([] if top else [f"p({name})" for name in exported.classes])


def _answered(
    exported: Exported, found: dict[str, Any]
) -> Iterator[tuple[str, NDArray[np.float64] | None, str]]:
    """The name of each image or text, what the network answers, and why it could not be read."""
    names = iter(found)
    while parcel := list(itertools.islice(names, _AT_ONCE)):
        decoded = exported.decoded([found[name] for name in parcel])
        answers = iter(exported.probabilities([d for d in decoded if not isinstance(d, str)]))
        for name, image in zip(parcel, decoded, strict=True):
            yield (name, None, image) if isinstance(image, str) else (name, next(answers), "")


def _rows(
    exported: Exported,
    found: dict[str, Any],
    top: int | None,
    counts: Counter[str],
    n_cells: int,
) -> Iterator[list[object]]:
    """A row for each image or text; counts the classes, the unsure and the damaged ones."""
    known = exported.network.plausible is not None
    for name, row, error in _answered(exported, found):
        if row is None:
            counts["error"] += 1
            yield [name, "", "", "", "", error, *[""] * (n_cells - 6)]
            continue
        classes = exported.plausible(row[None])[0] if known else None
        order = (-row).argsort(kind="stable")
        best = [(exported.classes[index], f"{row[index]:.6f}") for index in order[: top or 1]]
        counts[best[0][0]] += 1
        unsure = "" if classes is None else "yes" if len(classes) != 1 else "no"
        counts["unsure"] += unsure == "yes"
        said = [*best[0], unsure, "; ".join(classes or ()), ""]
        rest = [cell for pair in best[1:] for cell in pair]
        yield [name, *said, *rest, *([] if top else [f"{value:.6f}" for value in row])]


def _other_rows(
    exported: Exported,
    found: dict[str, Any],
    top: int | None,
    counts: Counter[str],
    n_cells: int,
) -> Iterator[list[object]]:
    """A row for each image or text, of several labels or of numbers; counts the damaged ones."""
    several = exported.network.task == "multilabel"
    for name, row, error in _answered(exported, found):
        if row is None:
            counts["error"] += 1
            yield [name, *[""] * (n_cells - 2), error]
            continue
        labels = [";".join(exported.labels(row))] if several else []
        yield [name, *labels, *(f"{value:.6g}" for value in row), ""]


@contextlib.contextmanager
def _opened(output: Path) -> Iterator[TextIO]:
    """Standard output, or a file that is written whole or not at all."""
    if output == _STDOUT:
        yield sys.stdout
        return
    with whole_file(output) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as f:
        yield f

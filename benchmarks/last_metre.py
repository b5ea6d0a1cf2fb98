"""Measures what each part of a search's end is worth: baselines, folds, refit, team, fitted head.

MobileNetV2 0.35 at 64 pixels, with a tenth and four tenths of the images to train on. A cell is
a data set, a share of the images, a split and how the head starts. In it one search is made, and
ended in several ways; each way has the same trials, chooses by validation alone, and tests what
it hands over. Beside them stand the fitted probe on all labelled images and full fine-tuning, by
the last way. Trainings that several ways have in common are done once: equal ones have equal bits.

Each cell is one line of the output, and is not run again.
`python benchmarks/last_metre.py --table` writes the table alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import optuna
import torch
from records import append, processor, provenance, read
from table import bootstrap, estimate, markdown, origins

from optuna_layerwise import CatCMAwMSampler, FinetuneObjective, ModelSpec, Recipe, load_data
from optuna_layerwise.data import Images
from optuna_layerwise.objective.finalists import n_finalists
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import HeadStart
from optuna_layerwise.records.final import Ending, Final
from optuna_layerwise.records.run import readable_runs
from optuna_layerwise.training import Fit

DEFAULT = "and a team: our default"
REFERENCES = ("full", "probe-fitted", "lp-ft", "surgical")
ENDINGS: dict[str, Ending] = {
    "as in the papers": Ending(folds=1, refit=False, deliver="one", compete=False),
    "and baselines compete": Ending(folds=1, refit=False, deliver="one", compete=True),
    "and folds": Ending(refit=False, deliver="one"),
    "and refit": Ending(deliver="one"),
    DEFAULT: Ending(),
    "all but folds": Ending(folds=1),
    "all but the refit": Ending(refit=False),
    "all but competing baselines": Ending(compete=False),
}
"""Ways to end a search; the first five add one part each."""
Cell: TypeAlias = tuple[str, float, int]
"""A data set, a share of its images, and a split."""
VAL, TEST = 0.2, 0.4
"""The shares of all images that validate and test, as in the comparison of methods."""
STARTS: tuple[HeadStart, ...] = ("fitted", "random")


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(args.threads)
    cells = {_key(cell): cell for cell in read(args.output)}
    if not args.table:
        origin = provenance(device=processor(), threads=args.threads, commit=args.commit)
        every = itertools.product(STARTS, range(args.splits), args.data, args.shares)
        for start, split, data, share in every:
            key = (data.name, share, split, start)
            if key not in cells:
                cells[key] = _run(args, data, share, split, start, origin)
                append(args.output, cells[key])
    args.output.with_suffix(".md").write_text(table(list(cells.values())))


def _key(cell: Mapping[str, Any]) -> tuple[str, float, int, str]:
    return cell["data"], cell["share"], cell["split"], cell["head_start"]


def _run(
    args: argparse.Namespace,
    data: Path,
    share: float,
    split: int,
    start: HeadStart,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """One search, and its ends."""
    began = time.perf_counter()
    spec = ModelSpec(
        name="mobilenet_v2",
        args={"width_mult": 0.35},
        weights=args.weights,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        image_size=64,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        splits = load_data(
            data,
            image_size=64,
            val=VAL,
            test=TEST,
            split_seed=split,
            train_fraction=share / (1 - VAL - TEST),
        )
    objective = FinetuneObjective(
        model=spec,
        data=splits,
        encoding="binary",
        recipe=Recipe(epochs=args.epochs, patience=None, batch_size=16, head_start=start),
        device="cpu",
    )
    objective.trainer.train = remembering(objective.trainer.train)  # type: ignore[method-assign]
    study = optuna.create_study(
        direction=objective.direction,
        sampler=CatCMAwMSampler(
            seed=split,
            encoding=objective.encoding,
            seed_with=objective.encoding.recipes()[:4],
        ),
    )
    study.optimize(objective, n_trials=args.trials)
    runs = readable_runs(study, study.trials).values()
    print(
        f"{data.name} {share:g} {split} {start}: {time.perf_counter() - began:.0f} s", flush=True
    )
    ends = {}
    for name, ending in ENDINGS.items():
        if start == "random" and name not in ("as in the papers", DEFAULT):
            continue
        copy = optuna.create_study(direction=objective.direction)
        copy.add_trials(study.trials)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            final = objective.finalize(
                copy,
                top=max(2, n_finalists(args.trials)),
                references=REFERENCES,
                ending=ending,
            )
        ends[name] = _told(final)
    cell = {
        "data": data.name,
        "share": share,
        "split": split,
        "head_start": start,
        "trials": args.trials,
        "epochs": args.epochs,
        "images": [len(splits.train), len(splits.val), len(splits.test)],
        "data_fingerprint": splits.fingerprint,
        "search": {
            "best": study.best_value,
            "seconds": round(sum(run.cost.seconds for run in runs), 1),
            "flops": sum(run.cost.flops for run in runs),
        },
        "ends": ends,
        "provenance": origin,
    }
    print(f"    {time.perf_counter() - began:.0f} s, {_line(ends)}", flush=True)
    return cell


def remembering(train: Callable[..., Fit]) -> Callable[..., Fit]:
    """`Trainer.train`, which does no training twice: the same fit, and the same weights."""
    known: dict[Any, tuple[Fit, dict[str, torch.Tensor]]] = {}

    def images(part: Images | None) -> Any:
        return part and (part.names, part.labels.tobytes())

    def remembered(
        policy: Policy, train_on: Images, val: Images | None, seed: int, **how: Any
    ) -> Fit:
        if how.get("model") is None or how.get("checkpoint") is not None:
            return train(policy, train_on, val, seed, **how)
        recipe = how["recipe"].to_json()
        key = (tuple(policy.items()), recipe, images(train_on), images(val), seed)
        if key not in known:
            fit = train(policy, train_on, val, seed, **how)
            weights = how["model"].state_dict()
            known[key] = fit, {name: t.to("cpu", copy=True) for name, t in weights.items()}
        fit, weights = known[key]
        how["model"].load_state_dict(weights)
        return fit

    return remembered


def _line(ends: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {100 * end['test']['accuracy']:.1f}" for name, end in ends.items())


def _told(final: Final) -> dict[str, Any]:
    """The numbers of a result that the table needs."""
    given = final.delivered
    assert given is not None
    flops = {candidate.name: candidate.flops for candidate in final.finalists}
    flops |= {candidate.name: candidate.flops for candidate in (final.chosen, *final.baselines)}
    return {
        "chosen": final.chosen.name,
        "members": {m.name: round(m.weight, 3) for m in given.members},
        "networks": len(given.members),
        "folds": given.folds,
        "held_out": given.held_out,
        "promised": dataclasses.asdict(given.promised) if given.promised else None,
        "test": given.test,
        "mean_test": final.chosen.mean("accuracy", split="test"),
        "baselines": {b.name: b.mean("accuracy", split="test") for b in final.baselines},
        "baselines_loss": {b.name: b.mean("loss", split="test") for b in final.baselines},
        "inference": given.flops / given.flops_of_one,
        "flops": sum(flops.values()),
    }


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a way to end a search a row, means over its cells.

    Raises:
        ValueError: if no cell with a fitted head has been run.
    """
    by_start = {
        start: {_key(cell)[:3]: cell for cell in cells if cell["head_start"] == start}
        for start in STARTS
    }
    if not by_start["fitted"]:
        raise ValueError("no cell has been run with a fitted head")
    shares = sorted({share for _, share, _ in by_start["fitted"]})
    rows = dict[str, dict[Cell, Mapping[str, Any]]]()
    for start in ("random", "fitted"):
        for name in ENDINGS:
            found = {k: c["ends"][name] for k, c in by_start[start].items() if name in c["ends"]}
            if found:
                rows[f"head {start}: {name}"] = found
    by_default = rows[f"head fitted: {DEFAULT}"]
    values = {
        name: {key: 100 * end["test"]["accuracy"] for key, end in of.items()}
        for name, of in rows.items()
    }
    losses = {name: [end["test"]["loss"] for end in of.values()] for name, of in rows.items()}
    errors = {name: [end["test"]["ece"] for end in of.values()] for name, of in rows.items()}
    for title in next(iter(by_default.values()))["baselines"]:
        values[title] = {k: 100 * end["baselines"][title] for k, end in by_default.items()}
        losses[title] = [end["baselines_loss"][title] for end in by_default.values()]
    ours = values[f"head fitted: {DEFAULT}"]
    lines = [
        [
            "how the search ends",
            "cells",
            *(f"test accuracy, %, {100 * s:g} % of the images" for s in shares),
        ]
        + ["our default less this, points", "ahead in", "log-loss", "calibration error"]
        + ["promised less kept, points", "networks", "work of an image"]
    ]
    for name, accuracy in values.items():
        line = [name, str(len(accuracy))]
        for share in shares:
            of_share = [value for (_, s, _), value in accuracy.items() if s == share]
            line.append(f"{np.mean(of_share):.1f}" if of_share else "")
        both = [key for key in accuracy if key in ours]
        difference = np.array([[ours[key] - accuracy[key]] for key in both])
        interval = bootstrap(len(both), 1)
        line.append("" if accuracy is ours else estimate(difference, interval, "+"))
        line.append("" if accuracy is ours else f"{int((difference > 0).sum())} of {len(both)}")
        line.append(f"{np.mean(losses[name]):.2f}")
        line.append(f"{np.mean(errors[name]):.3f}" if name in errors else "")
        if name in rows:
            kept = [
                100 * (end["promised"]["value"] - end["test"]["accuracy"])
                for end in rows[name].values()
                if end["promised"]
            ]
            line.append(estimate(np.array(kept)[:, None], bootstrap(len(kept), 1), "+"))
            line.append(f"{np.mean([end['networks'] for end in rows[name].values()]):.1f}")
            line.append(f"{np.mean([end['inference'] for end in rows[name].values()]):.1f}")
        else:
            line += ["", "1.0", "1.0"]
        lines.append(line)
    sets = ", ".join(sorted({data for data, _, _ in ours}))
    trials, epochs = (
        ", ".join(map(str, sorted({c[k] for c in cells}))) for k in ("trials", "epochs")
    )
    text = (
        f"# How a search ends\n\nMobileNetV2 0.35, 64 px, {epochs} epochs; {sets}; {len(ours)} "
        f"cells of a set, a share of the images and a split. Searches of {trials} "
        "trials (CatCMAwM on `binary`). Test accuracy of what is handed over; differences with "
        "their bootstrap interval of 95 % over cells. Baselines are refitted on all labelled "
        "images, the mean of three seeds. Promised less kept: the bias-corrected estimate before "
        "the test, less the test accuracy."
    )
    return f"{text}\n\n{markdown(lines)}\n\n" + "\n\n".join(origins(cells)) + "\n"


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parent
    root = here.parents[1] / "shared" / "data"
    parser.add_argument(
        "--data", type=Path, nargs="+", default=[root / n for n in ("busi", "citrus", "rsmas")]
    )
    parser.add_argument(
        "--weights", type=Path, default=root / "weights" / "mobilenet_v2_w035_imagenet_notop.pth"
    )
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.4])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--commit", help="of a copy without its repository")
    parser.add_argument("--output", type=Path, default=here / "results" / "last_metre.jsonl")
    parser.add_argument("--table", action="store_true", help="write the table alone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

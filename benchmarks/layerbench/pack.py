"""Compress finished tables, fit their surrogates, and measure how wrong those are.

    python -m benchmarks.layerbench.pack layerbench-raw

The kernel's lengths maximise the marginal likelihood (scikit-learn's `GaussianProcessRegressor`)
of two outputs together, the last epoch's validation loss and accuracy, over the means of each
policy; its noise is what the grid's seeds show. The errors are those of five folds of policies,
where a policy's repetitions are in one fold; random forests and gradient boosting stand beside.
"""

from __future__ import annotations

import argparse
import json
import lzma
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.multioutput import MultiOutputRegressor

from optuna_layerwise.layerbench import Kernel, LayerBench, Surrogate, Table, features, read_table
from optuna_layerwise.layerbench.bench import TABLES
from optuna_layerwise.layerbench.measured import SUFFIX, Array

FOLDS = 5
JUDGED = ("val.accuracy", "val.loss", "test.accuracy", "test.loss")
"""Of the last epoch."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("raw", type=Path, help="folder that the builder filled")
    parser.add_argument("--output", type=Path, default=TABLES)
    args = parser.parse_args()
    for path in sorted(args.raw.glob("*.jsonl")):
        pack(path, args.output / f"{path.stem}{SUFFIX}")


def pack(raw: Path, packed: Path) -> None:
    """One table."""
    table = read_table(raw)
    kernel = fit(table)
    surrogate = {
        "lengths": [round(float(length), 4) for length in kernel.lengths],
        "noise": round(kernel.noise, 4),
    }
    surrogate["errors"] = errors(table, Kernel.from_json(surrogate))
    lines = [json.loads(line) for line in raw.read_text().splitlines()]
    headers = [line for line in lines if "format" in line]
    header = {**headers[0], "surrogate": surrogate, "more_provenance": makers(headers)[1:]}
    rows = sorted(attributed(lines), key=_order)
    write(packed, [header, *rows])
    header["best"] = {m: best(LayerBench(packed), m) for m in ("accuracy", "balanced_accuracy")}
    write(packed, [header, *rows])
    print(f"{packed}: {len(rows)} trainings, {packed.stat().st_size / 1e3:.0f} kB")
    print(json.dumps(surrogate["errors"], indent=1))


def makers(headers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The provenances of the rows, each once."""
    found: list[dict[str, Any]] = []
    for header in headers:
        for made in (header["provenance"], *header.get("more_provenance", ())):
            if made not in found:
                found.append(made)
    return found


def attributed(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with its maker's place among the `makers`, if that is known.

    It is the last header's before it; that of a packed table, from which a builder went on, says
    nothing, but its rows may know their own.
    """
    known = makers(line for line in lines if "format" in line)
    rows, made = [], {}
    for line in lines:
        if "format" not in line:
            rows.append({**line, **made})
        else:
            packed = "more_provenance" in line
            made = {} if packed else {"made": known.index(line["provenance"])}
    return rows


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    """JSON lines, compressed; the same bytes for the same lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    path.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


def fit(table: Table) -> Kernel:
    """The kernel of a table."""
    policies, means, n = last_means(table)
    points = features(policies)
    targets = np.column_stack([np.log(means["val.loss"]), means["val.accuracy"]])
    targets = (targets - targets.mean(axis=0)) / targets.std(axis=0)
    noise = float(np.mean([noise_share(table, name) for name in ("val.loss", "val.accuracy")]))
    start = ConstantKernel(1.0) * Matern(np.ones(points.shape[1]), (0.05, 20.0), nu=2.5)
    process = GaussianProcessRegressor(start + WhiteKernel(0.1, (1e-3, 1.0)), alpha=noise / n)
    with warnings.catch_warnings():  # of features without effect, whose lengths are at the bound
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(points, targets)
    variance = float(np.exp(process.kernel_.k1.k1.theta[0]))
    left = float(np.exp(process.kernel_.k2.theta[0]))  # what a smooth surface cannot follow
    lengths = np.exp(process.kernel_.k1.k2.theta)
    return Kernel(lengths, (left + noise) / variance)


def last_means(table: Table) -> tuple[Array, dict[str, Array], Array]:
    """Policies without a divergence, their means over seeds in the last epoch, and how many."""
    policies, number = table.policies
    curves = {f"{s}.{m}": c[:, -1] for (s, m), c in table.curves.items()}
    fine = np.isfinite(np.column_stack(list(curves.values()))).all(axis=1)
    n = np.bincount(number[fine], minlength=len(policies))
    known = n > 0
    means = {
        name: np.bincount(number[fine], curve[fine], minlength=len(policies))[known] / n[known]
        for name, curve in curves.items()
    }
    return policies[known], means, n[known]


def noise_share(table: Table, name: str) -> float:
    """Variance over seeds of the grid's last epoch, as a share of that over policies."""
    split, metric = name.split(".")
    values = table.curves[split, metric][:, -1]
    values = np.log(values) if metric == "loss" else values
    policies, number = table.policies
    groups = [values[number == i] for i in range(len(policies))]
    repeated = [group for group in groups if len(group) > 1 and np.isfinite(group).all()]
    within = np.mean([group.var(ddof=1) for group in repeated]) if repeated else 0.0
    return float(within / np.nanvar([np.nanmean(g) for g in groups if np.isfinite(g).any()]))


def errors(table: Table, kernel: Kernel) -> dict[str, Any]:
    """Of held-out policies, beside the deviation that training the same policy again has."""
    policies, means, n = last_means(table)
    rng = np.random.Generator(np.random.Philox(0))
    fold = rng.integers(FOLDS, size=len(policies))
    all_policies, number = table.policies
    key = {policy.tobytes(): i for i, policy in enumerate(policies)}
    of_row = np.array([key.get(all_policies[i].tobytes(), -1) for i in number])

    def process(train: Array) -> Callable[[Array], Array]:
        held_out = ~train
        rows = (of_row >= 0) & ~held_out[of_row]
        model = Surrogate(table.where(rows), kernel)
        return lambda rates: np.column_stack([model.mean(rates)[m][:, -1] for m in JUDGED])

    def sklearn(make: Callable[[], Any]) -> Callable[[Array], Callable[[Array], Array]]:
        def fitted(train: Array) -> Callable[[Array], Array]:
            targets = np.column_stack([means[m][train] for m in JUDGED])
            model = make().fit(features(policies[train]), targets)
            return lambda rates: np.asarray(model.predict(features(rates)))

        return fitted

    models = {
        "gaussian process": process,
        "random forest": sklearn(lambda: RandomForestRegressor(100, random_state=0)),
        "gradient boosting": sklearn(
            lambda: MultiOutputRegressor(HistGradientBoostingRegressor(random_state=0))
        ),
    }
    found: dict[str, Any] = {"policies": len(policies), "folds": FOLDS}
    for name, model in models.items():
        predicted = np.zeros((len(policies), len(JUDGED)))
        for k in range(FOLDS):
            predicted[fold == k] = model(fold != k)(policies[fold == k])
        found[name] = {}
        for column, metric in enumerate(JUDGED):
            wrong = predicted[:, column] - means[metric]
            found[name][metric] = {
                "rmse": round(float(np.sqrt(np.mean(wrong**2))), 4),
                "spearman": round(float(spearmanr(predicted[:, column], means[metric])[0]), 3),
                "r2": round(float(1 - np.var(wrong) / np.var(means[metric])), 3),
            }
    found["deviation over seeds"] = {m: round(deviation(table, m), 4) for m in JUDGED}
    return found


def deviation(table: Table, name: str) -> float:
    """Standard deviation of repeated trainings of one policy in the last epoch."""
    split, metric = name.split(".")
    values = table.curves[split, metric][:, -1]
    policies, number = table.policies
    groups = [values[number == i] for i in range(len(policies))]
    variances = [g.var(ddof=1) for g in groups if len(g) > 1 and np.isfinite(g).all()]
    return float(np.sqrt(np.mean(variances))) if variances else float("nan")


def best(bench: LayerBench, metric: str, draws: int = 20_000, steps: int = 300) -> dict[str, Any]:
    """The policy with the best expected validation value: drawn, then climbed from the best."""
    rng = np.random.Generator(np.random.Philox(1))
    n = len(bench.blocks)
    logs = rng.uniform(-5, -1, (draws, n))
    drawn = np.where(rng.random((draws, n)) < 0.7, 10**logs, 0.0)
    drawn[:, -1] = 10 ** logs[:, -1]
    candidates = np.vstack([bench.table.policies[0], drawn])
    values, _ = bench.mean_values(candidates, metric)
    top = candidates[np.argsort(-values)[:20]]
    for step in range(steps):
        width = 0.5 * 0.99**step
        moved = top * 10 ** rng.normal(0, width, top.shape)
        flips = (rng.random(top.shape) < 0.1) & (np.arange(n) < n - 1)
        fresh = 10 ** rng.uniform(-5, -1, top.shape)
        moved = np.where(flips, np.where(top > 0, 0.0, fresh), moved)
        moved = np.where(moved > 0, moved.clip(1e-5, 1e-1), 0.0)
        better = bench.mean_values(moved, metric)[0] > bench.mean_values(top, metric)[0]
        top = np.where(better[:, None], moved, top)
    val, test = bench.mean_values(top, metric)
    winner = int(val.argmax())
    return {
        "val": round(float(val[winner]), 5),
        "test": round(float(test[winner]), 5),
        "rates": [float(f"{rate:.4g}") for rate in top[winner]],
    }


def _order(line: dict[str, Any]) -> tuple[Any, ...]:
    return (line["kind"], line["seed"], line["rates"])


if __name__ == "__main__":
    main()

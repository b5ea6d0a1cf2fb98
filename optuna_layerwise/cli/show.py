"""What the commands print: plans, results, tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from optuna_layerwise.cli.settings import SETTINGS_KEY, Settings
from optuna_layerwise.finalists import Candidate, Final, stored_final
from optuna_layerwise.runs import RUN_KEY
from optuna_layerwise.studies import count, is_paused

_SNOWFLAKE = "❄"
_WIDTH = 24


def plan(policy: Mapping[str, float], lr: float) -> Table:
    """A policy block by block: a snowflake for frozen, a bar on a log scale for the rate."""
    table = Table("block", "learning rate", "", box=None, pad_edge=False)
    for block, multiplier in policy.items():
        if not multiplier:
            table.add_row(block, _SNOWFLAKE, "frozen", style="cyan")
            continue
        share = min(max((math.log10(multiplier) + 2) / 4, 0.05), 1.0)  # 0.01 to 100
        table.add_row(block, f"{multiplier * lr:.2e}", "█" * round(share * _WIDTH))
    return table


def result(final: Final, settings: Settings) -> list[Table | str]:
    """The chosen policy and what it is worth, beside the baselines."""
    chosen = final.chosen
    table = Table("method", f"test {final.metric}", "validation", "trained", "seconds")
    for candidate, name in [
        (chosen, f"[bold]found ({chosen.name})[/bold]"),
        *((baseline, baseline.name) for baseline in final.baselines),
    ]:
        table.add_row(
            name,
            _test(candidate, final.metric),
            f"{candidate.mean(final.metric, split='val'):.3f}",
            f"{candidate.trained_share:.1%}",
            f"{candidate.seconds:.1f}",
        )
    seeds = len(chosen.test)
    return [
        f"\n[bold]The best policy[/bold], of {len(final.finalists)} finalists retrained with "
        f"{seeds} seeds and chosen by validation",
        plan(chosen.policy, settings.recipe.lr),
        f"\n[bold]On the test split[/bold], opened once: mean ± standard deviation over {seeds} "
        "seeds; baselines with the same recipe, not tuned",
        table,
    ]


def commands(where: str, storage: str) -> str:
    """What to type next; ``where`` names the storage and the study."""
    return "\n".join(
        [
            "\n[bold]Next[/bold]",
            f"  optuna-layerwise export {where} --to exported    # policy and weights",
            f"  optuna-layerwise dashboard --storage {storage}",
            f"  optuna-layerwise resume {where} --trials N    # search on, to N trials",
        ]
    )


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The best complete trial."""
    try:
        return study.best_trial
    except ValueError:
        return None


def status(studies: Sequence[optuna.Study]) -> Table:
    """One row a study."""
    table = Table("study", "finished", "running", "waiting", "failed", "best", "trial", "state")
    for study in studies:
        counts, best = count(study), best_trial(study)
        done = sum(n for state, n in counts.items() if state.is_finished())
        target = Settings.from_study(study).trials if SETTINGS_KEY in study.user_attrs else None
        state = "finalized" if stored_final(study) else "running"
        if state == "running" and not counts[TrialState.RUNNING]:
            state = "stopped"
        table.add_row(
            study.study_name,
            f"{done} of {target}" if target else str(done),
            str(counts[TrialState.RUNNING]),
            str(counts[TrialState.WAITING]),
            str(counts[TrialState.FAIL]),
            f"{best.value:.4f}" if best else "-",
            str(best.number) if best else "-",
            "paused" if is_paused(study) else state,
        )
    return table


def comparison(studies: Sequence[optuna.Study]) -> Table:
    """Studies side by side: the search, its cost, and the one test result of each."""
    table = Table(
        "study", "sampler", "encoding", "metric", "trials", "best (validation)",
        "found (test)", "full fine-tuning (test)", "linear probe (test)", "trained",
        "images seen", "seconds",
    )  # fmt: skip
    for study in studies:
        settings = Settings.from_study(study) if SETTINGS_KEY in study.user_attrs else None
        final, best = stored_final(study), best_trial(study)
        trials = study.get_trials(deepcopy=False)
        runs = [t.user_attrs[RUN_KEY] for t in trials if RUN_KEY in t.user_attrs]
        judged = [final.chosen, *final.baselines[:2]] if final else []

        table.add_row(
            study.study_name,
            settings.sampler if settings else "-",
            settings.encoding if settings else "-",
            settings.recipe.metric if settings else "-",
            str(sum(t.state.is_finished() for t in trials)),
            f"{best.value:.3f}" if best else "-",
            *([_test(c, final.metric) for c in judged] if final else ["-"] * 3),
            f"{final.chosen.trained_share:.1%}" if final else "-",
            f"{sum(run['images_seen'] for run in runs):,}",
            f"{sum(run['seconds'] for run in runs):.0f}",
        )
    return table


def _test(candidate: Candidate, metric: str) -> str:
    return f"{candidate.mean(metric, split='test'):.3f} ± {candidate.spread(metric):.3f}"


def show(console: Console, *things: Table | str) -> None:
    """Print tables and marked-up text."""
    for thing in things:
        console.print(thing)

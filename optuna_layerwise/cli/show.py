"""What the commands print: plans, results, tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
from rich.table import Table
from rich.text import Text

from optuna_layerwise.cli.options import console
from optuna_layerwise.cli.terminal import about_secrets, storage_option, study_options
from optuna_layerwise.cost import Cost
from optuna_layerwise.experiments.settings import SETTINGS_KEY, Settings
from optuna_layerwise.io.texts import brief_value, visible
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.answer import (
    about_openings,
    answer_of,
    chosen_trial,
    later_words,
    opened_words,
    readable_openings,
)
from optuna_layerwise.records.final import Final, count_finals, lost_opening, stored_final
from optuna_layerwise.records.run import readable_runs
from optuna_layerwise.reporting.report_grid import clean, mean_and_spread, number, tuned_text
from optuna_layerwise.reporting.verdict import (
    cost_words,
    found_or_chosen,
    promise_words,
    trained_on,
    verdict,
)
from optuna_layerwise.storage import best_trial, only_infeasible

_SNOWFLAKE = "❄"
_WIDTH = 24
_COLUMNS = (
    "held out: mean over the trainings that chose, on images that they did not see; trained: "
    "share of the parameters; seconds: of all its trainings"
)


def plan(policy: Mapping[str, float], recipe: Recipe) -> Table:
    """A policy block by block: a snowflake for frozen, a bar on a log scale for the rate."""
    table = Table("block", "learning rate", "", box=None, pad_edge=False)
    for block, multiplier in policy.items():
        if not multiplier:
            table.add_row(block, _SNOWFLAKE, "frozen", style="cyan")
            continue
        share = min(max((math.log10(multiplier) + 2) / 4, 0.05), 1.0)  # 0.01 to 100
        table.add_row(block, f"{recipe.rate(multiplier):.2e}", "█" * round(share * _WIDTH))
    return table


def result(study: optuna.Study, final: Final, settings: Settings) -> list[Table | Text | str]:
    """Lines and tables: what to use, and what it and the baselines are worth."""
    chosen, given, opened = final.chosen, final.delivered, readable_openings(study)
    table = Table("method", f"test {final.metric}", "held out", "trained", "seconds")
    if given is not None:
        table.add_row(
            Text("handed over", style="bold"),
            number(given.test.get(final.metric)),
            number(given.held_out.get(final.metric)),
        )
    baselines = [one for one in final.baselines if one.name != chosen.name]
    for candidate, name in [
        (chosen, Text(f"{found_or_chosen(final)} ({visible(chosen.name)})", style="bold")),
        *((baseline, Text(visible(baseline.name))) for baseline in baselines),
    ]:
        table.add_row(
            name,
            mean_and_spread(candidate, final.metric),
            number(candidate.mean(final.metric, split="val")),
            f"{candidate.trained_share:.1%}",
            f"{candidate.seconds:.1f}",
        )
    of = len(final.finalists)
    why = f"best on held-out images of {of} finalists, trained up to {len(chosen.val)} times each"
    if final.trainings_saved:
        why += f"; {final.trainings_saved} trainings of those clearly behind were saved"
    if not settings.retrain:
        why = "trained as in the search: same images, same seeds"
    name = Text(visible(chosen.name))
    tuned = tuned_text(chosen.recipe) if chosen_trial(final) is not None else ""
    said = [promise_words(final), cost_words(given)]
    return [
        Text.assemble("\n", ("Verdict", "bold"), f"\n{verdict(final)}"),
        Text.assemble("\n", ("The best policy", "bold"), ": ", name, f" ({why})"),
        plan(chosen.policy, settings.recipe),
        *([f"tuned beside the rates: {tuned}"] if tuned else []),
        Text.assemble(
            *("\n", ("On the test split", "bold")),
            f", opened {opened_words(final, opened)}: mean ± standard deviation over trainings; "
            f"what is handed over was trained on {trained_on(given)}; the baselines are not tuned",
        ),
        table,
        Text(_COLUMNS, style="dim"),
        *(Text(text) for text in said if text),
        *([about] if (about := about_openings(final, opened)) else []),
    ]


def after_the_choice(
    study: optuna.Study, final: Final, storage: str, *, always: bool = False
) -> list[Text]:
    """Lines that say how many trials finished after the choice, and how to choose anew.

    Args:
        study: The study.
        final: Its result.
        storage: URL.
        always: Also if no trial did.
    """
    answer, results = answer_of(study), count_finals(study)
    later = (answer and answer.later) or 0
    lines = []
    if lost := lost_opening(results, readable_openings(study), "--again"):
        lines = [lost]
    elif later:
        lines = [f"{later_words(later)}, and took no part in it."]
    elif always:
        lines = ["No trial finished after the choice."]
    if not lines:
        return []
    lines += ["To do so:" if lost else "To choose among all, and open the test split once more:"]
    where = study_options(storage, study.study_name)
    lines += [f"  optuna-layerwise finalize {where} --again", *about_secrets(storage)]
    return list(map(Text, lines))


def how_to_finalize(study: optuna.Study, storage: str) -> list[Text]:
    """Lines that say how to finalize a study that was only searched, or was searched on."""
    if (final := stored_final(study)) is not None:
        return after_the_choice(study, final, storage, always=True)
    lost = lost_opening(0, readable_openings(study), "")
    lines = [lost or "The test split was not opened."]
    lines += ["To choose what the search hands over, and test it:"]
    where = study_options(storage, study.study_name)
    lines += [f"  optuna-layerwise finalize {where}", *about_secrets(storage)]
    return list(map(Text, lines))


def five_splits() -> list[Text]:
    """What the same search found on five other splits of the digits, beside what one does anyway.

    `benchmarks/demo.py` measures it, and writes the file.
    """
    rows = json.loads((Path(__file__).with_name("five_splits.json")).read_text(encoding="utf-8"))
    title = "\nOn five other splits of these digits, measured with this release"
    return [
        Text.assemble((title, "bold"), ": mean test accuracy, and its interval of 95 %"),
        *(
            Text(
                f"  {row['method']:<24}  {row['mean']:.3f}  ({row['low']:.3f} to "
                f"{row['high']:.3f})",
                style="bold" if row is rows[-1] else "",
            )
            for row in rows
        ),
        Text(
            "Digits of 8 x 8 pixels are learned from scratch as well. The README has the same "
            "comparison on photographs. For your own: optuna-layerwise tune --data FOLDER"
        ),
    ]


def commands(study: optuna.Study, storage: str) -> list[Text]:
    """What to type next."""
    where = study_options(storage, study.study_name)
    return [
        Text("\nNext", style="bold"),
        Text(f"  optuna-layerwise report {where}    # how sure this is, and what it cost"),
        Text(f"  optuna-layerwise export {where} --to exported    # to use it on new images"),
        Text(f"  optuna-layerwise dashboard {storage_option(storage)}"),
        Text(f"  optuna-layerwise resume {where} --trials N    # search on; the result stays"),
        *map(Text, about_secrets(storage)),
    ]


def comparison(studies: Sequence[optuna.Study]) -> Table:
    """Studies side by side: the search, its cost, and the one test result of each."""
    rows = [_facts(study) for study in studies]
    table = Table("")
    for study in studies:
        table.add_column(Text(clean(study.study_name)))
    for name in dict.fromkeys(name for row in rows for name in row):
        table.add_row(Text(clean(name)), *(Text(clean(row.get(name, "-"))) for row in rows))
    return table


def _facts(study: optuna.Study) -> dict[str, str]:
    trials = study.get_trials(deepcopy=False)
    runs = readable_runs(study, trials).values()
    costs, devices = [run.cost for run in runs], {run.device_name for run in runs} - {""}
    facts: dict[str, str] = {}
    if SETTINGS_KEY in study.user_attrs:
        settings = Settings.from_study(study)
        facts |= {
            "sampler": settings.sampler,
            "encoding": settings.baseline or settings.encoding,
            "metric": settings.recipe.metric,
        }
    facts |= {
        "finished trials": str(sum(trial.state.is_finished() for trial in trials)),
        "images seen": f"{sum(cost.images_seen for cost in costs):,}",
        "operations": saving(costs),
        "devices": ", ".join(sorted(devices)) or "-",
        "seconds": f"{sum(cost.seconds for cost in costs):.0f}",
    }
    if (answer := answer_of(study, trials)) is not None and answer.trial is not None:
        facts[f"{answer.word} trial"] = str(answer.trial.number)
    if best := best_trial(study):
        facts["best value (validation)"] = brief_value(best.value)
    elif infeasible := only_infeasible(study):
        facts["best value (validation)"] = infeasible
    if final := stored_final(study):
        facts["found (test)"] = mean_and_spread(final.chosen, final.metric)
        facts["trained share"] = f"{final.chosen.trained_share:.1%}"
        facts |= {f"{b.name} (test)": mean_and_spread(b, final.metric) for b in final.baselines}
    return facts


def saving(costs: Sequence[Cost]) -> str:
    """The operations of a search, and what training every block would have cost more."""
    spent, of_all = sum(c.flops for c in costs), sum(c.flops_of_all for c in costs)
    return f"{spent:.2e}, {1 - spent / of_all:.0%} saved" if of_all else "-"


def show(*things: Table | Text | str) -> None:
    """Print tables and text."""
    for thing in things:
        console.print(thing, soft_wrap=not isinstance(thing, Table), highlight=False)

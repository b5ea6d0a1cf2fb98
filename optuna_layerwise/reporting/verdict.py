"""One sentence about a result: what to use, how much better it is, and how sure that is."""

from __future__ import annotations

import math
from collections import Counter

from optuna_layerwise.recipe import higher_is_better
from optuna_layerwise.records.final import Candidate, Delivered, Final
from optuna_layerwise.reporting.report_grid import clean, mean_and_spread, number

_MOST_NAMES = 4


def verdict(final: Final) -> str:
    """What to use, by how much it is better than the best baseline, and whether that is sure.

    The baseline is the one that validated best, so that the test split chooses nothing.
    """
    metric, given = final.metric, final.delivered
    rival = best_baseline(final, split="val")
    if given is None:
        return _of_older_release(final)
    text = f"Use {delivered_words(final)}: test {clean(metric)} {number(given.test.get(metric))}"
    if rival is None:
        return f"{text}."
    if final.chosen.name == rival.name and not given.is_team:
        return f"{text}. No policy that was searched validated better."
    lead, name = given.leads.get(rival.name), clean(rival.name)
    if lead is None:
        return f"{text}."
    value, low, high = (round(each, 3) for each in (lead.value, lead.low, lead.high))
    how = f"{abs(value):.3f} {'better' if value > 0 else 'worse'} than" if value else "level with"
    text += f", {how} {name}, which validated best without a search"
    if not (value or low or high):
        return f"{text}."
    sure = "more than chance" if low > 0 or high < 0 else "which may be chance"
    return f"{text} (95 % interval {low:+.3f} to {high:+.3f}, {sure})."


def delivered_words(final: Final) -> str:
    """What is handed over, in words: ``trial 3``, or ``a team of 5 networks (...)``."""
    given = final.delivered
    if given is None or not given.is_team:
        return clean(final.chosen.name)
    names = Counter(clean(member.name) for member in given.members)
    listed = [name if n == 1 else f"{n} of {name}" for name, n in names.most_common()]
    if len(listed) > _MOST_NAMES:
        listed = [*listed[: _MOST_NAMES - 1], f"{len(listed) - _MOST_NAMES + 1} more"]
    return f"a team of {len(given.members)} networks ({', '.join(listed)})"


def promise_words(final: Final) -> str:
    """What the held-out images promised, beside what the test split says."""
    given = final.delivered
    if given is None or given.promised is None:
        return ""
    p = given.promised
    where = f"{given.folds} folds" if given.folds > 1 else "the validation split"
    return (
        f"Promised before the test, by {where}: {clean(final.metric)} {number(p.value)} "
        f"({number(p.low)} to {number(p.high)})."
    )


def trained_on(given: Delivered | None) -> str:
    """The images that the tested networks were trained on, as words behind "trained on"."""
    if given is not None and given.refit:
        return "all labelled images but those of the test split"
    if given is not None and given.folds > 1:
        return f"all labelled images but those of the test split and of one of {given.folds} folds"
    return "the training images"


def cost_words(given: Delivered | None) -> str:
    """What it costs to classify an image with a team."""
    if given is None or not given.is_team or not given.flops_of_one:
        return ""
    return (
        f"An image costs {given.flops / given.flops_of_one:.1f} times the operations of one "
        "network; --deliver one hands over a single one."
    )


def best_baseline(final: Final, *, split: str, other: bool = False) -> Candidate | None:
    """The best by the mean metric on ``val`` or ``test``; ``None`` if none has one.

    Args:
        final: The result.
        split: ``val`` or ``test``.
        other: Leave out the one that was chosen, if one was.
    """
    sign = -1 if higher_is_better(final.metric) else 1
    known = [
        (sign * value, i)
        for i, baseline in enumerate(final.baselines)
        if not (other and baseline.name == final.chosen.name)
        and not math.isnan(value := baseline.mean(final.metric, split=split))
    ]
    return final.baselines[min(known)[1]] if known else None


def chose_baseline(final: Final) -> bool:
    """Whether a baseline won, and no policy that was searched."""
    return any(baseline.name == final.chosen.name for baseline in final.baselines)


def found_or_chosen(final: Final) -> str:
    """How a line calls what was chosen: a search finds policies, and not baselines."""
    return "chosen" if chose_baseline(final) else "found"


def _of_older_release(final: Final) -> str:
    """The mean of the trainings that were tested, beside the best baseline of the test."""
    metric, chosen, up = final.metric, final.chosen, higher_is_better(final.metric)
    ours = chosen.mean(metric, split="test")
    reaches = f"{clean(metric)} {mean_and_spread(chosen, metric)}"
    text = f"Use {clean(chosen.name)}: on the test split it reaches {reaches}"
    rival = best_baseline(final, split="test")
    if rival is None or math.isnan(ours):
        return f"{text}."
    lead = ours - rival.mean(metric, split="test")
    how = "better" if (lead > 0) is up else "worse"
    compared = f"{abs(lead):.3f} {how} than" if round(lead, 3) else "level with"
    return (
        f"{text}, {compared} the best of the baselines, {clean(rival.name)} "
        f"({mean_and_spread(rival, metric)})."
    )

"""The model card of exported weights, with the header that the Hugging Face hub reads.

https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import yaml

from optuna_layerwise.analysis.history import mapping_or_empty
from optuna_layerwise.recipe import NOUNS
from optuna_layerwise.records.answer import opened_words
from optuna_layerwise.records.final import Final
from optuna_layerwise.records.saved_network import SavedNetwork
from optuna_layerwise.reporting.markdown import escaped, fenced, grid_as_markdown
from optuna_layerwise.reporting.report_facts import Facts, changed_recipe
from optuna_layerwise.reporting.report_grid import Grid, clean, mean_and_spread, number
from optuna_layerwise.reporting.report_study import plan_rows
from optuna_layerwise.reporting.report_warnings import warnings_of
from optuna_layerwise.reporting.verdict import cost_words, promise_words, trained_on, verdict

_VERBS = {
    "classification": "Classify",
    "multilabel": "Find the labels of",
    "regression": "Predict the targets of",
}
_ANSWERS = {
    "classification": "probabilities",
    "multilabel": "probabilities",
    "regression": "numbers",
}
_METRICS = {"auc": "roc_auc", "macro_f1": "f1"}
"""What the hub calls a metric otherwise."""


def card(
    facts: Facts, plan: str, weights: str, command: str, network: SavedNetwork | None = None
) -> str:
    """Markdown with a YAML header.

    Args:
        facts: Of a finalized study.
        plan: Name of the file beside the card that has the policy.
        weights: Name of that with the weights; empty if there is none.
        command: That repeats the study.
        network: What the file of weights says of its network; ``None`` if it says nothing.
    """
    assert facts.final is not None
    header = yaml.safe_dump(_header(facts, facts.final), sort_keys=False, allow_unicode=True)
    return (
        f"---\n{header}---\n\n"
        + "\n\n".join(_body(facts, facts.final, plan, weights, command, network))
        + "\n"
    )


def untested_card(
    study: str, name: str, metric: str, value: float | None, network: SavedNetwork, plan: str
) -> str:
    """What to know of a network that was trained to be exported; Markdown.

    Args:
        study: Name of the study.
        name: What the network is, such as ``trial 17``.
        metric: Of the study.
        value: On the validation split, of a training without its images.
        network: What the file of weights says of its network.
        plan: Name of the file with the policy.
    """
    parts = [
        f"# {escaped(study)}: {escaped(name)}",
        "**This network was not tested.** It was trained on all images but those of the test "
        "split, to be exported, and it is not what the study hands over. A training of the same "
        "policy on the training split alone reached "
        f"{escaped(metric)} {number(value)} on the validation split.",
        "## Use",
        *_used(network, plan),
    ]
    return "\n\n".join(parts) + "\n"


def _header(facts: Facts, final: Final) -> dict[str, Any]:
    settings, data = facts.history.settings, _data(facts)
    given, chosen = final.delivered, final.chosen
    of = "" if given else f", mean of {len(chosen.test)}"
    values = {
        metric: given.test.get(metric) if given else chosen.mean(metric, split="test")
        for metric in _metrics(final)
    }
    results = [
        {
            "type": _METRICS.get(metric, metric),
            "name": f"test {metric}{of}",
            "value": round(value, 6),
        }
        for metric, value in values.items()
        if value is not None and not math.isnan(value)
    ]
    kind = "regression" if facts.task == "regression" else "classification"
    task = f"{clean(facts.noun).removesuffix('s')}-{kind}"  # as the hub calls them
    header: dict[str, Any] = {
        **({} if facts.task == "regression" else {"pipeline_tag": task}),
        "tags": [task, "optuna-layerwise", "layer-wise fine-tuning"],
        "metrics": [_METRICS.get(metric, metric) for metric in _metrics(final)],
    }
    source, _, name = str(settings.get("model", "")).partition("/")
    if name:
        header["library_name"] = source
        header["base_model"] = f"timm/{name}" if source == "timm" else name
    header["model-index"] = [
        {
            "name": clean(facts.history.name),
            "results": [
                {
                    "task": {"type": task},
                    "dataset": {"name": data, "type": data, "split": "test"},
                    "metrics": results,
                }
            ],
        }
    ]
    return header


def _metrics(final: Final) -> list[str]:
    others = sorted({metric for seed in final.chosen.test for metric in seed})
    return [final.metric, *(metric for metric in others if metric != final.metric)]


def _data(facts: Facts) -> str:
    return clean(PurePath(str(facts.history.settings.get("data", ""))).stem) or "unnamed"


def _body(
    facts: Facts,
    final: Final,
    plan: str,
    weights: str,
    command: str,
    network: SavedNetwork | None,
) -> Iterator[str]:
    chosen, settings = final.chosen, facts.history.settings
    trained = sum(value > 0 for value in chosen.policy.values())
    model = escaped(PurePath(str(settings.get("model") or "an image classifier")))
    yield f"# {escaped(facts.history.name)}"
    yield (
        f"{model}, fine-tuned on {escaped(_data(facts))} with {trained} of {len(chosen.policy)} "
        f"blocks trained ({chosen.trained_share:.1%} of the parameters). {_searched(facts)} in "
        f"{len(facts.finished)} trials by optuna-layerwise."
    )
    yield "## Plan"
    rates = Grid(
        "Plan",
        ["block", "learning rate"],
        [[row.block, row.rate] for row in plan_rows(facts, chosen.policy)],
    )
    yield grid_as_markdown(rates)
    yield "## Results"
    yield escaped(verdict(final))
    yield grid_as_markdown(_results(final))
    if (given := final.delivered) is None:
        which = "The weights are those of the training that was best on validation."
    else:
        which = (
            f"The first row is of the very weights that are saved, trained on {trained_on(given)}."
        )
    yield (
        f"Mean ± standard deviation over {len(chosen.test)} trainings, on a test split that was "
        f"opened {opened_words(final, facts.history.openings)}"
        f"{', after the choice' if final.number == 1 else ''}. {which} "
        f"{promise_words(final)} {cost_words(given)}".rstrip()
    )
    yield "## Data"
    sizes = ", ".join(f"{n:,} {split}" for split, n in facts.images.items())
    yield f"{escaped(_data(facts))}: {sizes or 'sizes not recorded'} images."
    if facts.classes:
        listed = ", ".join(f"{i} {escaped(name)}" for i, name in enumerate(facts.classes))
        yield f"The outputs are, in order: {listed}."
    if recipe := changed_recipe(facts.recipe, chosen.recipe):
        yield "## Recipe"
        rows = [[name, clean(value)] for name, value in recipe.items() if value is not None]
        yield grid_as_markdown(Grid("Recipe", ["field", "value"], rows))
    yield "## Use"
    if weights and network is not None:
        yield from _used(network, plan)
    else:
        yield fenced(_use(facts, plan, weights), "python")
    yield "## Limits"
    licence = (
        "Whoever publishes these weights has to add their licence: it follows from that of the "
        "pretrained weights and of the images, which is not recorded."
    )
    yield "\n".join(f"- {escaped(text)}" for text in [*warnings_of(facts), licence])
    if command:
        yield "## Repeat"
        yield fenced(command, "sh")


def _searched(facts: Facts) -> str:
    if baseline := facts.history.settings.get("baseline"):
        return f"The method, {escaped(baseline)}, is a published one, which was tuned"
    return "Which blocks, and how fast, was searched"


def _results(final: Final) -> Grid:
    metrics, given = _metrics(final), final.delivered
    return Grid(
        "Results",
        ["method", *(f"test {metric}" for metric in metrics)],
        [
            *(
                [
                    ["this model", *(number(given.test.get(metric)) for metric in metrics)],
                ]
                if given
                else []
            ),
            *(
                [name, *(mean_and_spread(candidate, metric) for metric in metrics)]
                for name, candidate in [
                    (final.chosen.name if given else "this model", final.chosen),
                    *((b.name, b) for b in final.baselines if b.name != final.chosen.name),
                ]
            ),
        ],
    )


def _used(network: SavedNetwork, plan: str) -> Iterator[str]:
    """How new images, texts or arrays are classified."""
    if network.takes != "images":
        yield from _used_on_others(network)
        return
    yield f"{_VERBS[network.task]} new images with this folder's script, or with optuna-layerwise:"
    yield fenced(
        "python predict.py photo.jpg\n"
        "optuna-layerwise predict --model . photo.jpg folder/ -o predictions.csv",
        "sh",
    )
    yield fenced(
        "from optuna_layerwise import Policy\n"
        "from optuna_layerwise.prediction import load_exported\n\n"
        'exported = load_exported(".")\n'
        f'{_ANSWERS[network.task]} = exported.predict_proba(["photo.jpg"])  '
        f"# [images, {NOUNS[network.task]}]\n"
        "model = exported.model  # a torch.nn.Module\n"
        f'policy = Policy.load("{plan}")  # block to multiplier of the rate; 0 is frozen',
        "python",
    )
    side, short = network.image_size, network.short_side
    kept = "" if network.resize else f", unless the image is {side} x {side} pixels already"
    mean, std = (", ".join(f"{value:g}" for value in v) for v in (network.mean, network.std))
    yield (
        f"Images are turned as EXIF says, made RGB, resized so that the short side has {short} "
        f"pixels{kept} (bilinear, with antialiasing), cropped to the {side} x {side} pixels in "
        f"the middle, divided by 255, and normalised with the mean {mean} and the standard "
        f"deviation {std}."
    )


def _used_on_others(network: SavedNetwork) -> Iterator[str]:
    """The same for texts, and for arrays."""
    of_texts = network.takes == "texts"
    if of_texts:
        yield f"{_VERBS[network.task]} new texts:"
        yield fenced("optuna-layerwise predict --model . texts.csv -o predictions.csv", "sh")
    given, rows = ('["a new text"]', "texts") if of_texts else ("arrays", "arrays")
    yield fenced(
        "from optuna_layerwise.prediction import load_exported\n\n"
        'exported = load_exported(".")\n'
        f"{_ANSWERS[network.task]} = exported.predict_proba({given})  "
        f"# [{rows}, {NOUNS[network.task]}]",
        "python",
    )
    if of_texts:
        yield (
            f"Texts become tokens by the tokenizer in the file of weights, at most "
            f"{network.max_tokens} of them."
        )
    else:
        yield "Arrays reach the network as they are."


def _use(facts: Facts, plan: str, weights: str) -> str:
    settings = facts.history.settings
    lines = ["from optuna_layerwise import ModelSpec, Policy", ""]
    lines.append(f'policy = Policy.load("{plan}")  # block to multiplier of the rate; 0 is frozen')
    if settings.get("model") and facts.classes:
        fields = {
            "name": settings["model"],
            "args": mapping_or_empty(settings.get("model_args")),
            "mean": tuple(settings.get("mean") or ()),
            "std": tuple(settings.get("std") or ()),
            "image_size": settings.get("image_size"),
        }
        given = ", ".join(f"{field}={value!r}" for field, value in fields.items() if value)
        build = f"build(num_classes={len(facts.classes)})"
        lines.append(f"model = ModelSpec({given}, weights=None).{build}")
    else:
        lines.append("model = ...  # as it was fine-tuned")
    if weights and facts.final and facts.final.delivered and facts.final.delivered.is_team:
        lines.insert(0, "from optuna_layerwise.models.team import load_team\n")
        lines[-1] = lines[-1].replace("model = ", "build = lambda: ")
        lines.append(f'model = load_team("{weights}", build)  # gives logarithms of probabilities')
    elif weights:
        lines.insert(0, "from safetensors.torch import load_file\n")
        lines.append(f'model.load_state_dict(load_file("{weights}"))')
    return clean_lines(lines)


def clean_lines(lines: list[str]) -> str:
    """Lines of code without what a terminal would obey."""
    return "\n".join(clean(line) for text in lines for line in text.split("\n"))

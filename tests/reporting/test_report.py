"""Reports say what was found, how sure that is, and what to keep in mind; text stays text."""

from __future__ import annotations

import dataclasses
import re
import time
from html.parser import HTMLParser

import optuna
import pytest
from markdown_it import MarkdownIt
from report_studies import BLOCKS, HOSTILE, a_hostile_study, a_result, a_study

from optuna_layerwise.analysis.history import read
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.io.texts import visible
from optuna_layerwise.reporting.markdown import escaped, fenced
from optuna_layerwise.reporting.notes import study_note
from optuna_layerwise.reporting.report import report
from optuna_layerwise.reporting.report_facts import facts
from optuna_layerwise.reporting.report_grid import signed_number
from optuna_layerwise.reporting.report_warnings import warnings_of
from optuna_layerwise.storage import DATA_KEY, FINAL_KEY

SETTINGS = Settings(data="/pictures/leaves", model="resnet18", weights="/w/resnet18.pth")


class Page(HTMLParser):
    """What a browser would show, and every element that it would make."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if not self._in_script:
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def shown(study: optuna.Study) -> str:
    return Page(report(study)).words


def warned(study: optuna.Study) -> str:
    return "\n".join(warnings_of(facts(study)))


def test_a_report_says_what_was_asked_found_and_spent() -> None:
    text = shown(a_study(settings=SETTINGS))
    for expected in (
        "Study leaves",
        "12 finished trials",
        "The policy found trains 2 of 4 blocks (40.0% of the parameters): stage1, head.",
        "it reaches accuracy 0.810 ± 0.010, 0.030 better than the best of the baselines, "
        "full fine-tuning (0.780 ± 0.010).",
        "Training every block on the same images would have cost 1.20e+11 operations: freezing "
        "saved 40%.",
        "The finalists' race saved 1 training.",
        "2: healthy, ill",
        "100 train, 80 val, 90 test",
        "resnet18.pth",
    ):
        assert expected in text


def test_the_command_is_in_the_report() -> None:
    html = report(a_study(), commands={"leaves": "optuna-layerwise tune --data 'a b'"})
    assert "optuna-layerwise tune --data 'a b'" in Page(html).words
    assert "optuna-layerwise tune" in report(
        a_study(), format="md", commands={"leaves": "optuna-layerwise tune"}
    )


def test_a_study_that_is_not_finalized_shows_its_best_trial_and_says_so() -> None:
    study = a_study(final=False)
    assert f"(trial {study.best_trial.number})" in shown(study)
    assert "The test split has not been opened." in warned(study)


def test_differences_that_chance_explains_are_called_so() -> None:
    words = warned(a_study())
    assert "The validation set has 80 images, so one image is 0.013." in words
    assert re.search(r"moves the accuracy by ±0\.08\d \(95 %, binomial\)", words)
    assert "differ by 0.030: within what chance in the test images explains" in words
    many = a_study(images={"train": 9, "val": 9, "test": 9_000})
    assert "differ by 0.030: more than chance in the test images explains" in warned(many)


def test_a_baseline_that_was_chosen_is_not_compared_with_itself() -> None:
    study, final = a_study(), a_result()
    won = dataclasses.replace(final, chosen=final.baselines[0])
    study.set_user_attr(FINAL_KEY, won.as_json())
    assert (
        "What was chosen, full fine-tuning, and the best other baseline, linear probe, differ by "
        "0.177: more than chance" in warned(study)
    )
    assert "The policy chosen trains 4 of 4 blocks" in shown(study)
    assert "linear probe 0.603 ± 0.006 the best of the other baselines" in shown(study)


def test_folds_share_the_validation_images() -> None:
    study = a_study(settings=Settings(n_folds=2))
    assert "The validation set has 40 images" in warned(study)


def test_few_trials_late_bests_and_odd_trials_are_warned_of() -> None:
    outcomes = {1: "diverged", 2: "failed", 3: "diverged", 4: "out of memory"}
    words = warned(a_study(outcomes=outcomes, devices=("cpu", "NVIDIA H100")))
    assert "12 finished trials are few" in words
    assert (
        "4 of 12 trials gave no value: 2 diverged, 1 out of memory, 1 failed (trials 1, 2" in words
    )
    assert "Trials ran on different devices (NVIDIA H100, cpu)" in words
    rising = optuna.create_study(direction="maximize")
    for value in range(40):
        rising.tell(rising.ask(), value)
    assert "The best trial, 39, came late" in warned(rising)
    assert "are few" not in warned(rising)


def test_a_result_that_cannot_be_read_is_said_and_the_rest_is_shown() -> None:
    study = a_study()
    study.set_user_attr(FINAL_KEY, {"v": 99})
    assert "The stored result cannot be shown" in shown(study)
    assert "The best 10 trials" in shown(study)


def test_nonsense_attributes_do_not_stop_a_report() -> None:
    study = a_study(final=False)
    study.set_user_attr(DATA_KEY, [1, 2])
    study.set_user_attr("olw:settings", "{")
    trial = study.ask()
    trial.set_user_attr("olw:run", {"policy": {"stem": "fast"}, "seconds": "long", "outcome": 3})
    study.tell(trial, 0.99)
    assert "trial 12" in shown(study)
    study.set_user_attr("olw:settings", '{"recipe": {"lr": 0}, "n_folds": 1' + "0" * 400 + "}")
    result = a_result().as_json()
    result["chosen"]["policy"]["stem"] = -1.0
    study.set_user_attr(FINAL_KEY, result)
    assert "The stored result cannot be shown: the multiplier of block 'stem'" in shown(study)


@pytest.mark.parametrize("format", ["html", "md"])
def test_studies_without_a_value_have_a_report(format: str) -> None:
    empty = optuna.create_study(study_name="empty", direction="maximize")
    failed = a_study(5, name="failed", final=False, outcomes=dict.fromkeys(range(5), "diverged"))
    assert "No trial has finished yet." in report(empty, format=format)  # type: ignore[arg-type]
    words = report(failed, format=format)  # type: ignore[arg-type]
    assert "None of the 5 finished trials gave a value" in words
    assert report([empty, failed], format=format)  # type: ignore[arg-type]


def test_plain_studies_have_a_report() -> None:
    study = optuna.create_study(study_name="plain")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    text = shown(study)
    assert f"The best trial, {study.best_trial.number}, has x = " in text
    assert "What it cost" in text
    assert "What was asked" not in text  # nothing is known of that


def test_rates_and_recipe_of_studies_made_from_python_are_those_of_their_trials() -> None:
    study = a_study()
    setup = {"recipe": {"lr": 0.01, "metric": "accuracy"}}
    study.set_user_attr("olw:fingerprint:a", setup)
    assert "lr 0.01, metric accuracy" in shown(study)
    assert "head 5.00e-03" in shown(study)
    study.set_user_attr("olw:fingerprint:b", {"recipe": {**setup["recipe"], "lr": 0.1}})
    assert "head × 0.5" in shown(study)


def test_a_heading_has_something_below_it() -> None:
    plain = [optuna.create_study(study_name=name) for name in ("one", "two")]
    for study in plain:
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1) * 1e-6, n_trials=1)
    for text in (report(plain[0], format="md"), report(plain, format="md")):
        assert "\n## " in text
        assert not re.search(r"^## .*\n+(?=## |\Z)", text, flags=re.MULTILINE)
    assert "1 trial completed." in report(plain[0], format="md")


def test_a_result_that_diverged_on_the_test_split_is_better_than_nothing() -> None:
    study = a_study()
    result = a_result().as_json()
    result["chosen"]["test"][0]["accuracy"] = None
    study.set_user_attr(FINAL_KEY, result)
    text = shown(study)
    assert "it reaches accuracy -. " in text
    assert "nan" not in text


def test_several_studies_are_compared() -> None:
    studies = [a_study(name=f"{m}-{s}", seed=s) for m in ("ours", "theirs") for s in range(3)]
    text = Page(report(studies)).words
    for expected in (
        "ours against theirs",
        "6 studies of 2 methods",
        "ours against theirs, equal images",
        "Nothing is interpolated",
        "theirs-2",
    ):
        assert expected in text
    assert "| ours-0 |" in report(studies, format="md")


def test_hostile_text_makes_no_element_and_runs_no_script() -> None:
    plain, hostile = (Page(report(study)) for study in (a_study(13), a_hostile_study()))
    for page in (plain, hostile):
        scripts = [attrs for tag, attrs in page.tags if tag == "script" and not attrs.get("type")]
        assert len(scripts) == 2  # plotly and ours
        assert {tag for tag, _ in page.tags}.isdisjoint({"img", "a", "iframe", "object"})
        assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert '<script>document.title="owned"</script>' in hostile.words
    assert "{{ 7*7 }}" in hostile.words
    assert "\x1b" not in hostile.words


def test_only_the_reports_own_scripts_may_run_and_nothing_may_be_loaded() -> None:
    html = report(a_study())
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert "default-src 'none'" in policy
    [allowed] = re.findall(r"script-src ([^;]*)$", policy)
    assert len(re.findall(r"'sha256-[\w+/=]{44}'", allowed)) == 2
    assert "unsafe" not in allowed
    assert "script-src 'none'" in report(optuna.create_study())


def test_hostile_text_in_markdown_is_shown_as_it_is() -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(
        report(a_hostile_study(), format="md")
    )
    inline = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in [*tokens, *inline]}
    assert kinds.isdisjoint({"html_block", "html_inline", "link_open", "image", "em_open"})
    headings = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
    assert "heading" not in {text.strip() for text in headings}
    assert any('<script>document.title="owned"' in child.content for child in inline)


@pytest.mark.parametrize(
    "text", [HOSTILE, "- item", "1. item", "+ item", "=====", "a|b", "@someone", "![x](y)", "***"]
)
def test_escaped_text_is_one_paragraph_of_that_text(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(escaped(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    shown = "".join(child.content for child in children).replace("\u200b", "")
    assert shown == visible(text).strip()


def test_numbers_need_no_escape() -> None:
    assert escaped("0.744 ± 0.013") == "0.744 ± 0.013"
    assert escaped("-0.5") == "-0.5"


def test_code_cannot_end_its_fence() -> None:
    block = fenced("a\n```\nb", "sh")
    assert [token.type for token in MarkdownIt().parse(block)] == ["fence"]


@pytest.mark.slow
def test_large_studies_are_quick_and_small() -> None:
    blocks = [f"block{i}" for i in range(160)]
    study = a_study(300, name="wide", blocks=blocks)
    long = optuna.create_study(study_name="long", direction="maximize")
    long.add_trials(
        [
            optuna.trial.create_trial(value=i / 5000, user_attrs={}, params={}, distributions={})
            for i in range(5_000)
        ]
    )
    started = time.process_time()
    pages = [report(study), report(long)]
    assert time.process_time() - started < 20
    assert all(len(page) < 6_500_000 for page in pages)
    assert "from block1 to block159" in Page(pages[0]).words


def test_a_result_of_one_training_has_no_spread() -> None:
    study = a_study()
    result = a_result(BLOCKS)
    one = {**result.as_json()}
    for candidate in (one["chosen"], *one["baselines"], *one["finalists"]):
        candidate["test"], candidate["val"] = candidate["test"][:1], candidate["val"][:1]
    study.set_user_attr(FINAL_KEY, one)
    assert "it reaches accuracy 0.800, 0.020 better" in shown(study)
    note = study_note(read(study), sampler="", resume="")
    assert "| 0.800 |" in note
    assert "nan" not in note


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.25, "+0.250"), (-0.25, "-0.250"), (2e-7, "+2e-07"), (1e-17, "0.000"), (0.0, "0.000")],
)
def test_a_difference_is_zero_only_if_it_is(difference: float, text: str) -> None:
    assert signed_number(difference) == text

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import plotly.graph_objects as go
import pytest
from made_up import EVIL, DigitsStudy, made_up_study
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from optuna_layerwise import Encoding, visualization
from optuna_layerwise.analysis import read
from optuna_layerwise.visualization import figures
from optuna_layerwise.visualization.accuracy_cost import front_of
from optuna_layerwise.visualization.best_so_far import steps
from optuna_layerwise.visualization.block_importance import freeze_effects, importances
from optuna_layerwise.visualization.look import escaped, focus, labels, thinned

Plot = Callable[[optuna.Study], go.Figure]
PLOTS: dict[str, Plot] = {
    name: getattr(visualization, name) for name in visualization.__all__ if name[:5] == "plot_"
}


@pytest.fixture(scope="module")
def big() -> optuna.Study:
    """5,000 trials take half a minute to be copied into a study; the page test has them."""
    return made_up_study(800, 160, name=EVIL, block=EVIL)


def bare(values: list[float | None], direction: str = "maximize") -> optuna.Study:
    """A study of Optuna alone, with a parameter that has nothing to do with layers."""
    study = optuna.create_study(direction=direction)
    for i, value in enumerate(values):
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if value is None else TrialState.COMPLETE,
                value=value,
                params={"x": i / len(values)},
                distributions={"x": FloatDistribution(0, 1)},
            )
        )
    return study


def shown_reason(figure: go.Figure) -> str:
    return " ".join(a.text for a in figure.layout.annotations).replace("<br>", " ")


@pytest.mark.sweep(3)
@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_a_study_without_trials_says_so_in_every_figure(plot: Plot) -> None:
    figure = plot(optuna.create_study())
    assert not figure.data
    assert shown_reason(figure)


@pytest.mark.sweep(3)
@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_only_failed_trials_give_a_figure_with_nothing_or_their_curves(plot: Plot) -> None:
    figure = plot(made_up_study(6, 4, only_failures=True))
    assert shown_reason(figure) or [trace.name for trace in figure.data] == ["other trials"]


@pytest.mark.sweep(3)
@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_a_study_that_knows_no_layers_is_shown_as_far_as_it_tells(plot: Plot) -> None:
    figure = plot(bare([0.1, None, 0.5, 0.3, 0.7, 0.2]))
    assert figure.data or shown_reason(figure)


@pytest.mark.sweep(3)
@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_names_reach_no_figure_as_tags(plot: Plot) -> None:
    text = plot(made_up_study(30, 4, name=EVIL, block=EVIL)).to_json()
    assert "<script" not in json.loads(json.dumps(text))
    assert "<img" not in text


@pytest.mark.sweep
@pytest.mark.parametrize("name", [name for name in PLOTS if name != "plot_validation_test_gap"])
def test_many_trials_and_blocks_are_thinned_out_and_say_so(name: str, big: optuna.Study) -> None:
    started = time.process_time()
    figure = PLOTS[name](big)
    assert time.process_time() - started < 10
    assert len(figure.to_json()) < 300_000
    if name in ("plot_layer_plan", "plot_block_importance", "plot_learning_curves"):
        assert " of " in figure.layout.title.subtitle.text


@pytest.mark.slow
def test_a_real_search_fills_every_figure(digits_study: DigitsStudy) -> None:
    for name, plot in PLOTS.items():
        assert plot(digits_study.study).data, name


def test_the_layer_plan_shows_every_trial_best_first_and_what_it_froze() -> None:
    study = made_up_study(20, 5)
    figure = visualization.plot_layer_plan(study)
    _, rates, frozen = figure.data
    history = read(study)
    assert list(rates.x) == [str(row.number) for row in history.best_first]
    for column, row in enumerate(history.best_first):
        for line, multiplier in enumerate((row.policy or {}).values()):
            assert (frozen.z[line][column] == 1) == (multiplier == 0)
            assert (rates.z[line][column] is None) == (multiplier == 0)
            assert bool(frozen.text[line][column]) == (multiplier == 0)


def test_rates_are_those_of_the_recipe_where_the_settings_are_known() -> None:
    study = made_up_study(8, 3)
    assert read(study).rate_name == "multiple of the learning rate"
    study.set_user_attr("olw:settings", json.dumps({"recipe": {"lr": 0.01, "max_lr": 0.05}}))
    history = read(study)
    assert history.rate_name == "learning rate"
    assert history.rate(2.0) == pytest.approx(0.02)
    assert history.rate(100.0) == pytest.approx(0.05)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("preset", ["biotune", "binary", "continuous", "set", "hybrid", "profile"])
def test_policies_of_a_loop_of_ones_own_are_found_from_the_parameters(preset: str) -> None:
    encoding = Encoding.preset(preset, ["stem", "layer1", "layer2", "head"], lr=1e-3)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: sum(encoding.suggest(trial).values()), n_trials=12)
    history = read(study)
    for row in history.rows:
        policy = encoding.decode(row.trial.params)
        wanted = {b: v * (1e-3 if encoding.rate.absolute else 1) for b, v in policy.items()}
        assert dict(row.policy or {}) == pytest.approx(wanted)
    assert history.lr == (1.0 if encoding.rate.absolute else None)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_so_far_ignores_infeasible_and_failed_trials(direction: str) -> None:
    study = bare([0.5, None, 0.4, 0.6], direction)
    sign = 1 if direction == "maximize" else -1
    study.add_trial(create_trial(value=9.0 * sign, system_attrs={"constraints:memory": 1.0}))
    x, best = steps(read(study), "trials")
    assert best.tolist() == ([0.5, 0.6, 0.6] if sign > 0 else [0.5, 0.4, 0.4])
    assert x.tolist() == ([1, 4, 5] if sign > 0 else [1, 3, 5])
    marks = {trace.name for trace in visualization.plot_best_so_far(study).data}
    assert {"infeasible", "diverged or failed"} <= marks


def test_several_seeds_of_a_group_are_one_line_with_a_band() -> None:
    groups = {
        "ours": [made_up_study(20, 3, name=f"a{i}") for i in range(5)],
        "theirs": [made_up_study(15, 3, name=f"b{i}") for i in range(2)],
    }
    figure = visualization.plot_best_so_far(groups, over="images")
    assert [trace.name for trace in figure.data if trace.name] == ["ours", "theirs"]
    assert len([trace for trace in figure.data if trace.fill == "toself"]) == 2
    assert "quartiles or lowest to highest" in figure.layout.title.subtitle.text.replace(
        "<br>", " "
    )


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_band_goes_in_steps_as_its_line_does(direction: str) -> None:
    sign = 1 if direction == "maximize" else -1
    studies = []
    for values in ([0.1, 0.5, 0.5], [0.3, 0.3, 0.9]):
        studies.append(optuna.create_study(direction=direction))
        studies[-1].add_trials([create_trial(value=sign * v) for v in values])
    [band, line] = visualization.plot_best_so_far({"both": studies}).data
    assert [*band.x] == [1, 2, 2, 3, 3, 3, 3, 2, 2, 1]
    worse, better = [0.1, 0.1, 0.3, 0.3, 0.5], [0.3, 0.3, 0.5, 0.5, 0.9]
    low, high = (worse, better) if sign > 0 else (better, worse)
    assert [*band.y] == [sign * y for y in [*low, *high[::-1]]]
    assert [*line.y] == [sign * y for y in (0.2, 0.4, 0.7)]


def test_the_front_has_no_trial_that_another_beats_at_its_cost() -> None:
    rows = [row for row in read(made_up_study(60, 6)).rows if row.counts]
    points = [(row.flops or 0.0, row) for row in rows]
    front = front_of(points, 1)
    assert [value for _, value in front] == sorted((r for _, r in front), key=lambda r: r.value)
    for cost, row in points:
        dearer = [c for c, r in front if r.value >= row.value]
        assert min(dearer) <= cost


def test_a_block_that_decides_the_value_matters_most_and_costs_when_frozen() -> None:
    encoding = Encoding.preset("hybrid", ["stem", "layer1", "head"], lr=1e-3)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(lambda t: 1.0 if encoding.suggest(t)["layer1"] else t.number * 1e-4, 80)
    history = read(study)
    shares, effects = importances(history, history.rows), freeze_effects(history)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda block: shares[block]) == "layer1"
    effect, half = effects["layer1"]
    assert effect + half < -0.9
    assert abs(effects["stem"][0]) < 0.5


def test_equal_values_have_no_importance_and_no_warning() -> None:
    assert importances(read(bare([0.5] * 10)), read(bare([0.5] * 10)).rows) == {}


def test_damaged_attributes_are_left_out() -> None:
    study = made_up_study(10, 3)
    for run in (
        "text",
        {"policy": {"a": -1}},
        {"policy": {"a": "x"}},
        {"outcome": 3},
        {"policy": 5},
    ):
        study.add_trial(create_trial(value=0.5, user_attrs={"olw:run": run}))
    study.set_user_attr("olw:settings", "{no json")
    study.set_user_attr("olw:final", {"chosen": [1], "baselines": 4})
    for name, plot in PLOTS.items():
        assert isinstance(plot(study), go.Figure), name
    assert [row.policy for row in read(study).rows[10:]] == [None] * 5


def test_several_objectives_show_the_first() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.optimize(
        lambda t: (t.suggest_float("lr/a", 0, 1) + t.suggest_float("lr/b", 0, 1), 1.0), 8
    )
    for plot in PLOTS.values():
        assert isinstance(plot(study), go.Figure)
    assert read(study).n_objectives == 2


def test_over_names_what_there_is() -> None:
    with pytest.raises(ValueError, match="over must be one of"):
        visualization.plot_best_so_far(made_up_study(3, 2), over="hours")  # type: ignore[arg-type]


def test_labels_that_are_cut_stay_apart() -> None:
    names = ["x" * 100 + str(i) + "y" * 100 for i in range(3)]
    assert len(set(labels(names))) == 3
    assert escaped("a<b>&\u202e\n") == "a&lt;b&gt;&amp;  "


def test_thinning_keeps_the_first_and_the_last() -> None:
    assert thinned(5, 9) == [0, 1, 2, 3, 4]
    kept = thinned(1_000, 7)
    assert (kept[0], kept[-1], len(set(kept))) == (0, 999, 7)


def test_the_range_leaves_out_only_far_outliers() -> None:
    assert focus([0.9, 0.91, 0.92, 0.93], 1) == (None, 0)
    span, outside = focus([0.1, 0.9, 0.91, 0.92, 0.93], 1)
    assert outside == 1
    assert span is not None
    assert span[0] > 0.5
    mirrored, outside = focus([-0.1, -0.9, -0.91, -0.92, -0.93], -1)
    assert mirrored == pytest.approx([-v for v in reversed(span)])


def test_figures_are_light_and_turn_dark_as_a_whole() -> None:
    figure = figures.layer_plan(read(made_up_study(5, 3)))
    assert figure.layout.template.layout.paper_bgcolor == "#FFFFFF"
    figure.update_layout(template=visualization.DARK)
    assert figure.layout.template.layout.paper_bgcolor == "#15181D"


@pytest.mark.slow
def test_the_documented_snippets_run() -> None:
    page = Path(__file__).parents[2] / "docs" / "figures.md"
    names: dict[str, object] = {
        "study": made_up_study(6, 3),
        "objective": lambda trial: trial.suggest_float("x", 0, 1),
    }
    snippets = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        exec(compile(snippet, str(page), "exec"), names)
    for name in PLOTS:
        assert f"`{name}`" in page.read_text()

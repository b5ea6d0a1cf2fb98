"""Whole searches against a user's scripts, shortened: few images, trials, epochs and pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import FrozenTrial

from benchmarks.training import careful, naive, searches
from benchmarks.training.searches_work import Work, counter

pytestmark = pytest.mark.slow

CONTESTANTS = ["ours", "careful", "naive"]
WEIGHTS = "weights/mobilenet_v2_w035_imagenet_notop.pth"
SIZE = 40
TRIALS, EPOCHS = 4, 2


@pytest.fixture(scope="module")
def finished(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searches")
    for path in sorted((shared_data / "citrus").glob("[bcgh]*/*"))[::4]:  # no melanose: too few
        link = folder / "citrus" / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    run(folder, shared_data)
    return folder


def run(folder: Path, shared_data: Path, **changes: object) -> None:
    arguments: dict[str, object] = {
        "data": folder / "citrus",
        "weights": shared_data / WEIGHTS,
        "searches": "biotune",
        "trials": TRIALS,
        "every": 1,
        "epochs": EPOCHS,
        "image-size": SIZE,
        "output": folder / "results",
        "scratch": folder / "scratch",
        **changes,
    }
    flags = [str(part) for name, value in arguments.items() for part in (f"--{name}", value)]
    searches.main(flags)


def cell(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (folder / f"results/citrus-biotune-{SIZE}px-cpu.json").read_text()
    )
    return content


def makers(folder: Path, shared_data: Path, search: str) -> dict[str, Any]:
    settings = {"search": search, "image_size": SIZE, "epochs": EPOCHS, "workers": 0}
    weights = shared_data / WEIGHTS
    return searches.contestants(folder / "scratch/citrus", weights, settings, "cpu")


def trained(objective: Any, params: dict[str, Any], times: int = 1) -> FrozenTrial:
    study = optuna.create_study(direction="maximize")
    for _ in range(times):
        study.enqueue_trial(params)
    study.optimize(objective, times)
    return study.trials[-1]


def test_all_contestants_give_the_accuracies_of_the_search(finished: Path) -> None:
    trials = cell(finished)["trials"]
    values = [trial["searched"] for trial in trials]
    assert [trial["number"] for trial in trials] == [*range(TRIALS)]
    for name in CONTESTANTS:
        assert [trial[name]["value"] for trial in trials] == values
    assert len(set(values)) > 2, "accuracies that are all alike would show nothing"
    assert any(0 in trial["policy"].values() for trial in trials)


def test_layers_are_frozen_alike_and_another_seed_trains_differently(
    finished: Path, shared_data: Path
) -> None:
    of = {name: make() for name, make in makers(finished, shared_data, "revo-layers").items()}
    head, last = of["ours"].encoding.recipes()[1:7:5]
    values = {name: [trained(o, p).value for p in (head, last)] for name, o in of.items()}
    assert values["careful"] == values["naive"] == values["ours"]
    others = []
    for of["careful"].seed in (1, 2, 3):  # of 30 images, two may be told alike by chance
        others.append([trained(of["careful"], p).value for p in (head, last)])
    assert any(other != values["ours"] for other in others)


def test_scripts_leave_frozen_blocks_as_they_were(finished: Path, shared_data: Path) -> None:
    objective = makers(finished, shared_data, "revo")["careful"]()
    names = [name for block in list(objective.blocks)[:-1] for name in objective.blocks[block]]
    trained(objective, objective.encoding.recipes()[1])
    state = objective.model.state_dict()
    assert all(torch.equal(state[name], objective.pretrained[name]) for name in names)
    assert not torch.equal(
        state["classifier.1.weight"], objective.pretrained["classifier.1.weight"]
    )


@pytest.mark.parametrize("name", ["careful", "naive"])
def test_flops_are_those_that_torch_counts_while_a_script_trains(
    finished: Path, shared_data: Path, name: str
) -> None:
    of = makers(finished, shared_data, "revo")
    ours, objective = of["ours"](), of[name]()
    params = ours.encoding.recipes()[5]
    with counter() as counted:
        trial = trained(objective, params)
    work = Work(ours).of(name, ours.encoding.decode(params), trial)
    assert 0 < work == counted.get_total_flops()


def test_ours_does_the_careful_work_once_and_then_what_is_behind_the_frozen_prefix(
    finished: Path, shared_data: Path
) -> None:
    ours = makers(finished, shared_data, "revo")["ours"]()
    params = ours.encoding.recipes()[1]
    policy, work = ours.encoding.decode(params), Work(ours)
    first, second = (trained(ours, {**params, "lr": lr}) for lr in (1e-3, 1e-2))
    careful = work.of("careful", policy, second)
    assert work.of("ours", policy, first) > careful / EPOCHS
    assert 0 < work.of("ours", policy, second) < careful / 100
    assert work.of("ours", policy, trained(ours, params, times=2)) == 0


def test_the_naive_script_does_the_work_of_training_everything(finished: Path) -> None:
    trials = cell(finished)["trials"]
    assert len({trial["naive"]["gflop"] for trial in trials}) == 1
    for trial in trials:
        assert trial["ours"]["gflop"] <= trial["careful"]["gflop"] <= trial["naive"]["gflop"]


def test_a_finished_cell_is_not_run_again_and_not_mixed_with_other_settings(
    finished: Path, shared_data: Path
) -> None:
    before = cell(finished)
    run(finished, shared_data)
    assert cell(finished) == before
    with pytest.raises(SystemExit, match="other settings"):
        run(finished, shared_data, epochs=EPOCHS + 1)


def test_the_table_sums_what_the_cell_holds(finished: Path) -> None:
    content = cell(finished)
    lines = (finished / "results.md").read_text().splitlines()
    rows = [
        [part.strip() for part in line.split("|")[1:-1]]
        for line in lines
        if line.startswith("| citrus")
    ]
    assert [row[1] for row in rows] == CONTESTANTS
    for row in rows:
        spent = [content["start"][row[1]], *(trial[row[1]] for trial in content["trials"])]
        assert row[3:5] == [f"{sum(s[key] for s in spent):.1f}" for key in ("wall", "cpu")]
        assert f"{TRIALS} of {TRIALS}" in row
    text = json.dumps(content) + "".join(lines)
    assert content["provenance"]["packages"]["torch"] and str(finished) not in text


@pytest.mark.parametrize("script", [careful, naive])
def test_scripts_search_by_themselves(
    finished: Path, shared_data: Path, script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--trials", "2", "--epochs", str(EPOCHS), "--image-size", str(SIZE)]
    script.main([str(finished / "scratch/citrus"), str(shared_data / WEIGHTS), *flags])
    best = max(trial["searched"] for trial in cell(finished)["trials"][:2])
    assert capsys.readouterr().out.startswith(f"{best} {{'stem': ")
    assert "import benchmarks" not in (source := Path(script.__file__).read_text())
    assert "from benchmarks" not in source

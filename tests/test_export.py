"""What is exported can be used: the plan in one line, the weights, and a card that hubs read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import optuna
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from report_studies import HOSTILE, a_hostile_study, a_result, a_study
from safetensors.torch import load_file, save_model
from torchvision.models import resnet18

from optuna_layerwise import Policy, Recipe, param_groups, partition
from optuna_layerwise.cli.report import command_of
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.reporting.dashboard_server import keep_result
from optuna_layerwise.reporting.export import export
from optuna_layerwise.reporting.shareable import shareable
from optuna_layerwise.storage import FINAL_KEY

SETTINGS = Settings(data="/home/me/leaves", model="resnet18", weights="/home/me/resnet18.pth")


def with_weights(study: optuna.Study, path: Path, model: torch.nn.Module) -> optuna.Study:
    save_model(model, str(path), metadata={"policy": "{}"})
    return with_file(study, path)


def with_file(study: optuna.Study, path: Path) -> optuna.Study:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    result = study.user_attrs[FINAL_KEY]
    result["weights"] = {"path": str(path), "sha256": digest}
    study.set_user_attr(FINAL_KEY, result)
    return study


@pytest.mark.parametrize("format", ["json", "yaml"])
def test_a_plan_is_applied_in_one_line(tmp_path: Path, format: str) -> None:
    model = resnet18()
    blocks = partition(model)
    study = a_study(blocks=list(blocks), settings=SETTINGS)
    plan, _ = export(study, tmp_path, format=format)  # type: ignore[arg-type]
    policy, recipe = Policy.load(plan), Recipe.load(plan)
    assert policy == Policy(a_result(list(blocks)).chosen.policy)
    assert recipe == SETTINGS.recipe
    groups = param_groups(model, blocks, Policy.load(plan), lr=recipe.lr)
    assert [group["block"] for group in groups] == list(policy.trained)


@pytest.mark.parametrize("name", ["plan.json", "plan.yaml", "plan.yml", "plan"])
def test_a_policy_that_is_saved_is_loaded(tmp_path: Path, name: str) -> None:
    policy = Policy({"stem": 0, "on": 1e-5, "1": 3.0, "ä: b": 0.1 + 0.2})
    policy.save(tmp_path / name)
    assert Policy.load(tmp_path / name) == policy
    assert list(Policy.load(tmp_path / name)) == list(policy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[1]", "must hold names and values"),
        ('{"policy": 3}', "a policy maps block to multiplier, got 3"),
        ('{"stem": -1}', "the multiplier of block 'stem' must be a finite number"),
    ],
)
def test_a_file_without_a_policy_is_refused_with_its_name(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"plan\.json.*{message}"):
        Policy.load(path)
    with pytest.raises(ValueError, match=r"plan\.json"):
        Recipe.load(path)


def test_a_file_that_is_no_text_is_refused_with_its_name(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"\xd8\x00\xff")
    with pytest.raises(ValueError, match=r"model.safetensors cannot be read: 'utf-8' codec"):
        Policy.load(weights)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Policy.load(tmp_path / "nowhere.json")


def test_yaml_builds_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("stem: !!python/object/apply:os.system ['touch owned']")
    with pytest.raises(ValueError, match=r"plan\.yaml cannot be read"):
        Policy.load(path)


def test_the_weights_are_those_that_were_saved(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 3)
    study = with_weights(a_study(settings=SETTINGS), tmp_path / "best.safetensors", model)
    names = [path.name for path in export(study, tmp_path / "out")]
    assert names == ["policy.json", "README.md", "model.safetensors"]
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(found["weight"], model.weight)
    (tmp_path / "best.safetensors").write_bytes(b"others")
    with pytest.raises(FileNotFoundError, match="no such file, or another one"):
        export(study, tmp_path / "late")
    assert (tmp_path / "late" / "README.md").is_file()
    assert not (tmp_path / "late" / "model.safetensors").exists()


def test_a_file_that_is_no_saved_network_is_neither_copied_nor_shown(tmp_path: Path) -> None:
    secret, output = tmp_path / "secret", tmp_path / "runs" / "leaves"
    secret.write_text("of this machine")
    study = with_file(a_study(settings=SETTINGS), secret)
    with pytest.raises(FileNotFoundError, match="expected the weights of study"):
        export(study, tmp_path / "out")
    keep_result(study, stored_final(study), output)
    assert secret.stat().st_nlink == 1
    for path in (*tmp_path.glob("out/*"), *output.parent.rglob("*")):
        assert not path.is_file() or "of this machine" not in path.read_text()


def test_the_card_is_one_that_the_hub_reads(tmp_path: Path) -> None:
    study = with_weights(a_study(settings=SETTINGS), tmp_path / "w", torch.nn.Linear(1, 1))
    export(study, tmp_path / "out", command="optuna-layerwise tune --data leaves")
    card = ModelCard.load(tmp_path / "out" / "README.md")
    [result, *_] = card.data.eval_results
    assert card.data.pipeline_tag == "image-classification"
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.81)
    assert (result.dataset_name, result.dataset_split) == ("leaves", "test")
    for expected in (
        "| stage1 | 1.00e-03 |",
        "| this model | 0.810 ± 0.010 |",
        "| linear probe |",
        "The outputs are, in order: 0 healthy, 1 ill.",
        "100 train, 80 val, 90 test images",
        "optuna-layerwise tune --data leaves",
        "model.safetensors",
        "licence",
    ):
        assert expected in card.text


def test_the_cards_snippet_is_python(tmp_path: Path) -> None:
    export(a_study(settings=SETTINGS), tmp_path)
    [snippet] = re.findall(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}
    plan = tmp_path / "policy.json"
    exec(compile(snippet.replace("policy.json", str(plan)), "card", "exec"), names)
    assert names["policy"] == Policy.load(plan)
    assert names["model"].fc.out_features == 2  # type: ignore[attr-defined]


def test_no_folder_of_this_machine_is_exported(tmp_path: Path) -> None:
    own = dataclasses.replace(
        SETTINGS, model="transformers//home/me/vit", model_args={"config": ["/home/me/vit.json"]}
    )
    for settings in (SETTINGS, own):
        study = a_study(settings=settings)
        export(study, tmp_path, command=command_of(study))
        for path in tmp_path.iterdir():
            assert "/home/me" not in path.read_text()
    assert "transformers/vit" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("value", "cut"),
    [
        ("timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k"),
        ("C:\\Users\\me\\leaves", "leaves"),
        ("~/leaves", "leaves"),
        ({"sizes": [8, None]}, {"sizes": [8, None]}),
    ],
)
def test_only_paths_are_cut(value: object, cut: object) -> None:
    assert shareable(value) == cut


def test_a_hostile_study_is_exported_as_text(tmp_path: Path) -> None:
    export(a_hostile_study(), tmp_path)
    header = (tmp_path / "README.md").read_text().split("---\n")[1]
    assert yaml.safe_load(header)["model-index"][0]["name"].startswith(HOSTILE[:40])
    body = (tmp_path / "README.md").read_text().split("---\n", 2)[2]
    outside = re.sub(r"(`{3,}).*?\1", "", body, flags=re.DOTALL)
    assert "<script" not in outside.replace("\\<script", "")
    assert Policy.load(tmp_path / "policy.json")


def test_a_trial_is_exported_without_a_test(tmp_path: Path) -> None:
    study = a_study(final=False, settings=SETTINGS)
    with pytest.raises(ValueError, match="has no result yet; finish it with"):
        export(study, tmp_path)
    best = study.best_trial
    assert [path.name for path in export(study, tmp_path, trial=best.number)] == ["policy.json"]
    assert dict(Policy.load(tmp_path / "policy.json")) == best.user_attrs["olw:run"]["policy"]
    content = json.loads((tmp_path / "policy.json").read_text())
    assert content["trial"]["validation"] == best.value
    with pytest.raises(ValueError, match="has no trial 99 with a policy; it has 12 trials"):
        export(study, tmp_path, trial=99)

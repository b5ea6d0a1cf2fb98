"""Hugging Face's Trainer trains a policy as a plain loop does, also resumed, and searches."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch import nn
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

from optuna_layerwise import CatCMAwMSampler, Policy, frozen, param_groups, partition
from optuna_layerwise.integrations import LayerwiseSearch

SIZES = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 16], depths=[1, 1, 1], num_labels=3)
IMAGES = torch.randn(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
DATA = [{"pixel_values": image, "labels": k % 3} for k, image in enumerate(IMAGES)]


@pytest.fixture(scope="module")
def start() -> nn.Module:
    set_seed(0)
    model: nn.Module = ResNetForImageClassification(SIZES)
    return model


@pytest.fixture
def policy(start: nn.Module) -> Policy:
    blocks = list(partition(start))
    return Policy({b: (0.0, 0.0, 0.5, 2.0, 1.0)[k] for k, b in enumerate(blocks)})


def search_of(start: nn.Module) -> LayerwiseSearch:
    return LayerwiseSearch(lambda: copy.deepcopy(start), lr=1e-2)


def trainer_of(search: LayerwiseSearch, folder: Path, **fields: Any) -> Trainer:
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        train_sampling_strategy="sequential",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **{"num_train_epochs": 4, "save_strategy": "no", **fields},
    )
    return Trainer(
        model_init=search.model_init,
        args=arguments,
        train_dataset=DATA,
        eval_dataset=DATA,
        callbacks=[search],
        optimizer_cls_and_kwargs=search.optimizer_cls_and_kwargs,
    )


def trained(trainer: Trainer) -> dict[str, torch.Tensor]:
    assert trainer.model is not None
    assert all(p.requires_grad for p in trainer.model.parameters()), "it is given back"
    state: dict[str, torch.Tensor] = trainer.model.state_dict()
    return state


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert [n for n, t in ours.items() if not torch.equal(t, theirs[n])] == []


def test_a_trained_policy_has_the_weights_of_a_plain_loop(
    start: nn.Module, policy: Policy, tmp_path: Path
) -> None:
    search = search_of(start)
    search.policy = policy
    trainer = trainer_of(search, tmp_path)
    trainer.train()
    model, blocks = copy.deepcopy(start), search.blocks
    optimizer = torch.optim.AdamW(param_groups(model, blocks, policy, lr=1e-2))
    with frozen(model, blocks, policy):
        for first in [0, 4, 8] * 4:
            labels = torch.arange(first, first + 4) % 3
            model.train()
            model(pixel_values=IMAGES[first : first + 4], labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    assert_equal(trained(trainer), model.state_dict())


def test_a_resumed_training_has_the_weights_of_an_uninterrupted_one(
    start: nn.Module, policy: Policy, tmp_path: Path
) -> None:
    search = search_of(start)
    search.policy = policy
    whole = trainer_of(search, tmp_path / "whole")
    whole.train()
    trainer_of(search, tmp_path / "parts", num_train_epochs=2, save_strategy="epoch").train()
    again = search_of(start)
    again.policy = policy
    resumed = trainer_of(again, tmp_path / "parts")
    resumed.train(resume_from_checkpoint=True)
    assert_equal(trained(resumed), trained(whole))
    before = start.state_dict()
    held = [n for block in list(search.blocks)[:2] for n in search.blocks[block]]
    stem = {name.rpartition(".")[0] for name in held}
    kept = [n for n in before if n.rpartition(".")[0] in stem]
    assert any("running" in name for name in kept)
    assert all(torch.equal(before[name], trained(resumed)[name]) for name in kept)


class Prune(optuna.pruners.BasePruner):
    """Prunes trial 1 alone."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return trial.number == 1


@pytest.mark.slow
def test_a_search_is_stored_prunes_and_counts_its_trials_as_a_total(
    start: nn.Module, tmp_path: Path
) -> None:
    search = search_of(start)
    where = {"study_name": "layers", "storage": f"sqlite:///{tmp_path}/search.db"}
    trainer = trainer_of(search, tmp_path, num_train_epochs=1, eval_strategy="epoch")

    def go_on(total: int) -> None:
        trainer.hyperparameter_search(
            search.hp_space,
            n_trials=search.trials_left(total, **where),
            backend="optuna",
            sampler=CatCMAwMSampler(seed=0, encoding=search.encoding),
            pruner=Prune(),
            load_if_exists=True,
            **where,
        )

    go_on(3)
    go_on(5)
    study = optuna.load_study(**where)  # type: ignore[arg-type]
    assert len(study.trials) == 5
    assert [trial.state.name for trial in study.trials][:3] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert all(
        trial.params.keys() == search.encoding.search_space.keys() for trial in study.trials
    )
    assert search.trials_left(5, **where) == 0

"""The steps of one fit: batches through the network, and what is done at an epoch's ends."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import nn

from optuna_layerwise.cost import training_flops
from optuna_layerwise.models import Blocks, balanced_weights, frozen, training_loss
from optuna_layerwise.policy import Policy
from optuna_layerwise.tasks import task_of
from optuna_layerwise.training.engine import Engine
from optuna_layerwise.training.forward import Forward
from optuna_layerwise.training.methods import Course, Joint
from optuna_layerwise.training.metrics import best_epoch
from optuna_layerwise.training.optimizers import make_optimizer, make_schedule, relative_rate
from optuna_layerwise.training.prefixes import PrefixStore
from optuna_layerwise.training.resident import Resident, batches_of, split_batches
from optuna_layerwise.training.state import FitState, changing_names, copy_tensors, training_plan
from optuna_layerwise.training.stopwatch import Stopwatch


class Steps:
    """One training in progress: what its steps work with, and how far it is.

    The model is on the device, has its head and is frozen as the policy says. Freezing it
    otherwise, as some methods do from epoch to epoch, ends when `stage` is closed.

    Args:
        model: The network.
        blocks: Its parameters by block, those of adapters included.
        course: The policy, the recipe and what its method changes in a training.
        train: The training split.
        val: The validation split, if there is one.
        engine: The device with its settings, and what trainings share.
        seed: Of the order of the images.
        flops: Operations of each block on one image.
        store: Of the outputs of frozen prefixes; ``None`` stores none.
        stage: Holds the freezing that takes the place of the policy's, for methods that change
            it between epochs.
        watch: Counts the seconds of its phases.
        started: `time.perf_counter` at the start.
        spent: Operations before the first step.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: Blocks,
        course: Course,
        train: Resident,
        val: Resident | None,
        engine: Engine,
        *,
        seed: int,
        flops: Mapping[str, float],
        store: PrefixStore | None,
        stage: ExitStack,
        watch: Stopwatch,
        started: float,
        spent: float,
    ) -> None:
        self.model, self.blocks, self.course, self.engine = model, blocks, course, engine
        self.recipe, self.policy = course.recipe, course.policy
        self.train, self.val = train, val
        self._shown = train
        self.flops, self.stage, self.watch, self._store = flops, stage, watch, store
        self._forward_flops = sum(flops.values())
        self._flops_of_all = training_flops(flops, dict.fromkeys(flops, 1.0))
        course.begin(model, blocks)
        self.trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.scaler = engine.compute.scaler(engine.device)
        self.optimizer = make_optimizer(
            *(model, blocks, course.policy, self.recipe, engine.device),
            per_tensor=course.group_per_tensor,
        )
        self.schedule = make_schedule(self.optimizer, self.recipe)
        self._task = task_of(train.images)
        self._class_weights = None
        if self.recipe.class_weights == "balanced":
            self._class_weights = balanced_weights(train.labels, len(train.images.classes))
        self._shuffle = torch.Generator().manual_seed(seed)
        model.train()
        self.state = FitState(
            device=engine.device,
            started=started,
            plan=self._plan(seed),
            model=model,
            names=changing_names(model),
            watch=watch,
            parts={
                "optimizer": self.optimizer,
                "schedule": self.schedule,
                "scaler": self.scaler,
            },
            total_loss=torch.zeros((), device=engine.device),
            order=self._shuffle.get_state(),
            flops=spent,
            flops_of_all=spent,
        )
        self.forward = self._forward()

    def _plan(self, seed: int) -> dict[str, Any]:
        return {
            **self.recipe.as_dict(),
            "seed": seed,
            "images": [len(self.train), 0 if self.val is None else len(self.val)],
            "device": self.engine.device.type,
            "precision": self.engine.compute.precision,
            **training_plan(self.model, self.optimizer),
        }

    def _forward(self) -> Forward:
        moving = {
            module
            for module in self.model.modules()
            if module.training and next(module.buffers(recurse=False), None) is not None
        }
        engine, kind = self.engine, (self.policy.trained, self.recipe.bn, self.recipe.method)
        return Forward(
            *(self.model, engine.device, engine.compute, self.watch, self.flops),
            *(self._store, kind, moving),
        )

    def is_over(self) -> bool:
        """Whether all epochs are done, or patience has run out since all blocks are trained."""
        state, course = self.state, self.course
        waited = state.epoch - 1 - max(state.best_epoch or 0, course.settled)
        stuck = self.recipe.patience is not None and state.epoch > 0
        return stuck and waited >= (self.recipe.patience or 0) or state.epoch >= course.epochs

    def epoch(self) -> Iterator[list[torch.Tensor]]:
        """The batches that are left of the epoch, each in the parts that memory has room for.

        The model is frozen as the epoch wants it before the first one. The batches end early where
        the loss is no longer finite.
        """
        state, engine = self.state, self.engine
        self.model.train()
        self._freeze(self.course.trained(state.epoch))
        if self.recipe.augment != "none":
            self._shown = self.train.view(
                self.recipe.augment,
                state.epoch % self.recipe.views,
                memory=engine.compute.prefix_memory,
            )
        self._shuffle.set_state(state.order)
        order = torch.randperm(len(self.train), generator=self._shuffle)
        batches = [
            split_batches(rows, micro) if (micro := engine.micro_batch) else [rows]
            for rows in batches_of(
                order, self.recipe.batch_size, self.train.images.lengths, self._shuffle
            )
        ]
        sizes = Counter(len(part) for parts in batches for part in parts)
        backward_flops = training_flops(self.flops, self.policy) - self._forward_flops
        self._backward = partial(self._add_gradient, backward_flops, sizes)
        self._joint = Joint(
            *(state.epoch, batches, self._backward, self.optimizer, self.schedule, self.scaler)
        )
        for batch in batches[state.step :]:
            yield batch
            # Reading the loss waits for an accelerator: there, once per epoch.
            if engine.device.type == "cpu" and not math.isfinite(state.total_loss.item()):
                return

    def _freeze(self, wanted: Policy) -> None:
        if wanted != self.policy:
            self.stage.close()
            self.stage.enter_context(frozen(self.model, self.blocks, wanted, bn=self.recipe.bn))
            self.policy = wanted
            self.forward = self._forward()

    def take(self, batch: list[torch.Tensor]) -> None:
        """One step of the optimizer, on a batch that `epoch` has given."""
        if self.state.step == 0:
            self.course.begin_epoch(self._joint)
            self.state.total_loss.zero_()
        self._backward(batch)
        with self.watch.phase("optimizer"):
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1

    def _add_gradient(
        self, backward_flops: float, sizes: Counter[int], parts: list[torch.Tensor]
    ) -> None:
        """The gradient of the mean loss of a batch, which goes through the network in parts."""
        state, engine = self.state, self.engine
        n = sum(map(len, parts))
        for part in parts:
            at_this_size = len(part) * sizes[len(part)] / len(self.train)
            outputs = self.forward(self._shown, part, at_this_size)
            with self.watch.phase("forward"), engine.compute.autocast(engine.device):
                loss = training_loss(
                    *(self.model, outputs, self.train.labels_of(part)),
                    task=self._task,
                    label_smoothing=self.recipe.label_smoothing,
                    class_weights=self._class_weights,
                )
            with self.watch.phase("backward"):
                total = loss if len(part) == n else loss * (len(part) / n)
                if part is parts[0] and (penalty := self.course.penalty()) is not None:
                    total = total + penalty
                self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
            state.total_loss += loss.detach() * len(part)
        state.images_seen += n
        state.flops += n * backward_flops + self.forward.spent()
        state.flops_of_all += n * self._flops_of_all

    def validate_start(self) -> None:
        """Measure a fitted head before the first step: it is kept if no epoch improves on it."""
        state = self.state
        if self.recipe.head_start == "fitted" and not state.start and self.val is not None:
            state.start = self._validate(self.val)
            state.best_epoch = best_epoch(state.history, self.recipe.metric, state.start)

    def _validate(self, val: Resident) -> dict[str, float]:
        metrics = self.engine.validate(self.forward, val)
        self.state.flops += self.forward.spent()
        self.state.flops_of_all += len(val) * self._forward_flops
        return metrics

    def end_epoch(self) -> bool:
        """Validate the network, and keep it if it is the best so far.

        Without a validation split the last epoch is the best.

        Returns:
            Whether the losses of training and validation are still finite.
        """
        state = self.state
        lr = self.recipe.lr * relative_rate(self.schedule)
        with warnings.catch_warnings():  # in fp16 a first step may be left out
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            self.schedule.step()
        train_loss = state.total_loss.item() / len(self.train)
        if not math.isfinite(train_loss):
            return False
        metrics = {} if self.val is None else self._validate(self.val)
        if self.val is not None and not math.isfinite(metrics["loss"]):
            return False
        epoch = state.epoch
        state.history.append({"train_loss": train_loss, "lr": lr, **metrics})
        state.best_epoch = (
            epoch
            if self.val is None
            else best_epoch(state.history, self.recipe.metric, state.start)
        )
        if state.best_epoch == epoch:
            copy_tensors(state.changing, state.best)
        state.step, state.order = 0, self._shuffle.get_state()
        state.total_loss.zero_()
        return True

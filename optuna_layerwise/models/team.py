"""Several trained networks of one architecture that answer together, and the file they are in.

A team is one safetensors file, which needs no more than safetensors and torch to be read:

* ``i.NAME`` is the tensor NAME of the state dict of member i, counted from 0.
* The metadata ``team`` is a JSON list: the weights of the members' probabilities.
* The metadata ``team_aliases`` is a JSON object. A tensor with the bits of an earlier member's, or
  tied to another of its own network, is not stored again: its full name leads to the stored one.

So the state dict of member i, of a network with these ``names``, is ::

    with safe_open(path, framework="pt") as file:
        aliases = json.loads(file.metadata()["team_aliases"])
        full = {name: f"{i}.{name}" for name in names}
        state = {name: file.get_tensor(aliases.get(key, key)) for name, key in full.items()}

and the probabilities of the team are the weighted mean of its members' softmax. The metadata
``team_task`` says what else is averaged: ``multilabel`` the sigmoids, ``regression`` the outputs.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from optuna_layerwise.io.files import whole_file
from optuna_layerwise.io.plain import decoded, one_of, shortened
from optuna_layerwise.models.cutting import Cut, find_cut
from optuna_layerwise.models.flops import counting_flops
from optuna_layerwise.models.outputs import logits_of
from optuna_layerwise.models.weights import load_tensors
from optuna_layerwise.tasks import TASKS, Classification

MOST_MEMBERS = 100
"""A file that asks for more networks than that is refused before any is built."""
_WEIGHTS, _ALIASES, _TASK = "team", "team_aliases", "team_task"
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}


class Team(nn.Module):
    """The weighted mean of the answers of several networks, for inference.

    Answers are the softmax probabilities, unless another task is given.

    Members with the same bits up to some layer, such as a frozen prefix, compute that part once
    for each batch. Which they are is found when images of a new size come; the members' weights
    must not change after that. The members are put into eval mode and stay in it, whatever
    ``train()`` says. Calls from several threads at once need a copy each.

    Args:
        members: Networks with the same names and shapes of tensors, on one device.
        weights: A positive number for each member; they are divided by their sum.
        task: A name in `TASKS`.

    Raises:
        ValueError: if there is no member, or more than `MOST_MEMBERS`; if there are more or fewer
            weights than members, or one that is not positive and finite; or if the members are
            not of one architecture.

    Examples:
        >>> from optuna_layerwise.models import DigitsCNN
        >>> team = Team([DigitsCNN(), DigitsCNN()], [2, 1])
        >>> team(torch.zeros(4, 3, 8, 8)).detach().exp().sum(dim=1).round(decimals=4)
        tensor([1., 1., 1., 1.])
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        weights: Sequence[float],
        task: str = Classification.name,
    ) -> None:
        super().__init__()
        if not 1 <= len(members) <= MOST_MEMBERS or len(members) != len(weights):
            raise ValueError(
                f"a team needs 1 to {MOST_MEMBERS} members and as many weights, "
                f"got {len(members)} members and {len(weights)} weights"
            )
        if not all(0 < weight < math.inf for weight in weights):
            raise ValueError(f"weights of a team must be positive numbers, got {list(weights)}")
        for index, member in enumerate(members):
            if reason := _unlike(_state(member), _state(members[0])):
                raise ValueError(
                    "the members of a team must be of one architecture, but member "
                    f"{index} differs from member 0: {reason}"
                )
        self.members, self.task = nn.ModuleList(members), task
        total = math.fsum(weights)
        total = 1.0 if abs(total - 1) < 1e-9 else total  # so that a saved team stays the same
        self.weights = tuple(float(weight) / total for weight in weights)
        self._plans: dict[Hashable, list[_Start]] = {}
        self.train()

    def train(self, mode: bool = True) -> Team:
        """Does nothing: a team stays in eval mode."""
        return super().train(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Outputs whose answers are the team's, float32 [n, width], for inputs [n, ...].

        For classes they are the logarithms of the probabilities, which are their own log-softmax
        and so serve wherever logits do.
        """
        outputs = self._logits(images, self._plan(images))
        return TASKS[self.task].mixed(outputs, self.weights)

    def work(self, images: torch.Tensor) -> float:
        """Operations of the team for an image of this size, as a multiple of one member's.

        It lies between 1 and the number of members: the less, the more they share. Operations
        are those that `block_flops` counts.
        """
        image = images[:1]
        plan = self._plan(image)
        with counting_flops() as one:
            self.members[0](image)
        with counting_flops() as all_of_them:
            self._logits(image, plan)
        return float(all_of_them.get_total_flops() / one.get_total_flops())

    def _plan(self, images: torch.Tensor) -> list[_Start]:
        autocast = torch.is_autocast_enabled(images.device.type)
        key = (images.device, images.dtype, images.shape[1:], autocast)
        if key not in self._plans:
            with torch.inference_mode(False), torch.no_grad():
                generator = torch.Generator().manual_seed(0)
                noise = images[[0] * 3]  # of whole numbers not every one is an input
                if images.is_floating_point():
                    noise = torch.randn(3, *images.shape[1:], generator=generator).to(images)
                plan = _starts(list(self.members), noise)
                shared = self._logits(noise, plan)
                whole = [logits_of(member(noise)) for member in self.members]
                if not all(map(torch.equal, shared, whole)):
                    plan = [_Start()] * len(self.members)
            self._plans[key] = plan
        return self._plans[key]

    def _logits(self, images: torch.Tensor, plan: Sequence[_Start]) -> list[torch.Tensor]:
        """The outputs of every member."""
        outputs: list[torch.Tensor] = []
        noted: dict[tuple[int, str], torch.Tensor] = {}
        for index, (member, start) in enumerate(zip(self.members, plan, strict=True)):
            if start.source is not None and start.cut is None:
                outputs.append(outputs[start.source])
                continue
            later = {s.cut.at: s.cut for s in plan if s.source == index and s.cut is not None}
            with ExitStack() as taps:
                found = {at: taps.enter_context(cut.noted(member)) for at, cut in later.items()}
                if start.source is None or start.cut is None:
                    out = member(images)
                else:  # a copy, since what follows may work in place
                    features = noted[start.source, start.cut.at].clone()
                    out = start.cut.suffix(member, features)
            outputs.append(logits_of(out))
            noted.update({(index, at): tensor for at, [tensor] in found.items()})
        return outputs


def save_team(team: Team, path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    """Write a team to one safetensors file, whole or not at all; see the module's description.

    Args:
        team: The networks and their weights.
        path: The file; what was there is replaced.
        metadata: Further texts for the file's metadata.

    Raises:
        OSError: if it cannot be written.
        ValueError: if the metadata has a name that the format uses itself.
    """
    if taken := {_WEIGHTS, _ALIASES, _TASK} & set(metadata):
        raise ValueError(f"the metadata of a team has its own {sorted(taken)}; use other names")
    states = [_state(member) for member in team.members]
    stored: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    for index, (state, first) in enumerate(zip(states, _first_equal(states), strict=True)):
        tied: dict[Hashable, str] = {}
        for name, tensor in state.items():
            key, source = f"{index}.{name}", f"{first[name]}.{name}"
            if tensor.numel():
                place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride())
                source = tied.setdefault((*place, tensor.dtype), source)
            if (source := aliases.get(source, source)) != key:
                aliases[key] = source
            else:
                whole = torch.contiguous_format
                stored[key] = tensor.to("cpu", copy=True, memory_format=whole)
    texts = {_WEIGHTS: json.dumps(team.weights), _ALIASES: json.dumps(aliases)}
    if team.task != Classification.name:  # as files of earlier versions have it
        texts[_TASK] = team.task
    with whole_file(Path(path)) as unfinished:
        save_file(stored, unfinished, metadata={**metadata, **texts})


def load_team(path: str | os.PathLike[str], build: Callable[[], nn.Module]) -> Team:
    """The team in a file that `save_team` wrote, on the CPU. No code of the file is run.

    Args:
        path: The file.
        build: Returns a network of the members' architecture, with a head for their classes; its
            weights do not matter.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no team, cannot be read, or is a team of other networks.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"a team must be a file, found none at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights, aliases = _weights_in(metadata), _aliases_in(metadata)
            task = one_of("its task", metadata.get(_TASK, Classification.name), TASKS)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        for alias, source in aliases.items():
            if alias in tensors or source not in tensors:
                raise ValueError(f"its alias {shortened(alias)} leads to no tensor, or is one")
    except (SafetensorError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} is no team of networks, or damaged: {reason}; expected a file that "
            "save_team wrote"
        ) from error
    tensors.update({alias: tensors[source] for alias, source in aliases.items()})
    network = build()
    expected = {f"{i}.{n}": t for i in range(len(weights)) for n, t in _state(network).items()}
    if reason := _unlike(tensors, expected):
        raise ValueError(
            f"{path} holds a team of {len(weights)} networks other than this "
            f"{type(network).__name__}: {reason}; build the network that was saved, with as many "
            "classes"
        )
    members = [network, *(copy.deepcopy(network) for _ in weights[1:])]
    for index, member in enumerate(members):
        state = {name: tensors[f"{index}.{name}"] for name in _state(member)}
        load_tensors(member, state)
    return Team(members, weights, task)


def is_team(path: str | os.PathLike[str]) -> bool:
    """Whether there is a safetensors file that says it is a team; `load_team` checks the rest."""
    try:
        with safe_open(path, framework="pt") as file:
            return _WEIGHTS in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


@dataclasses.dataclass(frozen=True, eq=False)
class _Start:
    """Where a member begins.

    Args:
        source: The earlier member whose features it takes; ``None``: it begins with the images.
        cut: Where they are; ``None`` if the source is its equal, and so are all its outputs.
    """

    source: int | None = None
    cut: Cut | None = None


def _starts(members: Sequence[nn.Module], images: torch.Tensor) -> list[_Start]:
    """For each member, the earlier one with which it shares most operations.

    If that one itself takes features from a third, it does so before this cut: from behind it,
    the third would share as much and comes first.
    """
    first = _first_equal([_tensors(member) for member in members])
    cuts: dict[Hashable, tuple[Cut | None, float]] = {}
    starts = []
    for index, own in enumerate(first):
        start, most = _Start(), 0.0
        for source in range(index):
            # Members that are alike in what else they hold may take the constants of this cut.
            shared = {n: place for n, place in own.items() if first[source][n] == place}
            if len(shared) == len(own):
                start = _Start(source)
                break
            key = tuple(shared.items())
            if key not in cuts:
                cuts[key] = _last_cut(members[source], own.keys() - shared.keys(), images)
            cut, flops = cuts[key]
            if flops > most:
                start, most = _Start(source, cut), flops
        starts.append(start)
    return starts


def _last_cut(
    member: nn.Module, different: set[str], images: torch.Tensor
) -> tuple[Cut | None, float]:
    """The last cut before any of these tensors, and the operations of one image up to there."""
    owners = {member.get_submodule(name.rpartition(".")[0]) for name in different}
    with _trained_alone(member, different):
        cut, _ = find_cut(member, images, moving=owners)
    if cut is None:
        return None, 0.0
    with counting_flops() as counter:
        cut.prefix(member, images[:1])
    return cut, float(counter.get_total_flops())


@contextmanager
def _trained_alone(member: nn.Module, names: set[str]) -> Iterator[None]:
    """Let these parameters, and no others, need gradients."""
    flags = [(parameter, parameter.requires_grad) for parameter in member.parameters()]
    try:
        member.requires_grad_(False)
        for name, parameter in member.named_parameters(remove_duplicate=False):
            if name in names and parameter.is_floating_point():
                parameter.requires_grad_(True)
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def _state(member: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of its state dict."""
    return {n: tensor for n, tensor in member.state_dict().items() if torch.is_tensor(tensor)}


def _tensors(member: nn.Module) -> dict[str, torch.Tensor]:
    """All of its parameters and buffers, those too that no state dict has."""
    return {
        **dict(member.named_parameters(remove_duplicate=False)),
        **dict(member.named_buffers(remove_duplicate=False)),
    }


def _first_equal(states: Sequence[Mapping[str, torch.Tensor]]) -> list[dict[str, int]]:
    """For each member and name, the first member whose tensor of that name has the same bits."""
    found: list[dict[str, int]] = []
    for index, state in enumerate(states):
        own = {}
        for name, tensor in state.items():
            earlier = dict.fromkeys(other[name] for other in found)
            equal = (i for i in earlier if _has_bits_of(tensor, states[i][name]))
            own[name] = next(equal, index)
        found.append(own)
    return found


def _has_bits_of(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    same = _BITS.get(a.element_size(), torch.int64)
    one, other = (t.detach().reshape(-1).view(same) for t in (a, b))
    return torch.equal(one, other)


def _unlike(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> str:
    """How the names, shapes and types of tensors are not those expected; empty if they are."""
    if missing := [name for name in expected if name not in found]:
        return f"{len(missing)} tensors are missing, such as {missing[0]}"
    if others := [name for name in found if name not in expected]:
        return f"{len(others)} tensors are not expected, such as {shortened(others[0])}"
    for name, tensor in found.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape or tensor.dtype != wanted.dtype:
            return (
                f"{name} is {tuple(tensor.shape)} of {tensor.dtype} instead of "
                f"{tuple(wanted.shape)} of {wanted.dtype}"
            )
    return ""


def _weights_in(metadata: Mapping[str, str]) -> list[float]:
    """The weights of a file's members.

    Raises:
        ValueError: if they are no positive numbers with the sum 1, or too many.
    """
    if _WEIGHTS not in metadata:
        raise ValueError(f"its metadata has no {_WEIGHTS!r}")
    weights: Any = decoded(metadata[_WEIGHTS])
    if (
        not isinstance(weights, list)
        or not 1 <= len(weights) <= MOST_MEMBERS
        or not all(type(weight) in (int, float) and 0 < weight <= 1 for weight in weights)
        or abs(math.fsum(weights) - 1) > 1e-6
    ):
        raise ValueError(
            f"its weights must be 1 to {MOST_MEMBERS} positive numbers with the sum 1, "
            f"got {shortened(weights)}"
        )
    return weights


def _aliases_in(metadata: Mapping[str, str]) -> dict[str, str]:
    """The names of a file's tensors that are stored under another name.

    Raises:
        ValueError: if they are none.
    """
    aliases: Any = decoded(metadata.get(_ALIASES, "{}"))
    if not isinstance(aliases, dict) or not all(isinstance(s, str) for s in aliases.values()):
        raise ValueError(f"its {_ALIASES!r} must lead from names to names")
    return aliases

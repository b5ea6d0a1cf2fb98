"""Teams: their probabilities, the work that members share, and the file that holds them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import NETWORKS
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from optuna_layerwise.models import (
    DigitsCNN,
    ModelSpec,
    Team,
    is_team,
    load_team,
    logits_of,
    save_team,
)

MOBILE = ModelSpec(name="mobilenet_v2", weights=None, image_size=64, args={"width_mult": 0.35})


def images(n: int, size: int) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(n))


def tuned(start: nn.Module, moved: Callable[[str], bool], seed: int) -> nn.Module:
    """A copy with these parameters and buffers changed, as training does."""
    member = copy.deepcopy(start)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in member.state_dict().items():
            if moved(name) and tensor.is_floating_point():
                tensor.mul_(1 + 0.1 * torch.rand(tensor.shape, generator=generator))
    return member.eval()


def digits_team() -> Team:
    """One member is trained as a whole, one from stage 2, two in the head alone."""
    torch.manual_seed(0)
    start = DigitsCNN().eval()
    for parameter in start.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    below = (lambda n: True, lambda n: n > "stage2", lambda n: "head" in n, lambda n: "head" in n)
    return Team(
        [
            tuned(start, lambda n, i=i, b=b: b(n) or "head" in n, i)  # type: ignore[misc]
            for i, b in enumerate(below)
        ],
        [4, 3, 2, 1],
    )


def apart(team: Team, inputs: torch.Tensor) -> torch.Tensor:
    """The team's probabilities, from one whole pass of each member."""
    pairs = zip(team.weights, team.members, strict=True)
    with torch.no_grad():
        return sum(  # type: ignore[return-value]
            weight * logits_of(member(inputs)).double().softmax(1) for weight, member in pairs
        )


def test_a_team_answers_with_the_weighted_mean_of_probabilities() -> None:
    team = digits_team()
    with torch.no_grad():
        found = team(images(7, 8))
    assert found.shape == (7, 10) and found.dtype == torch.float32
    torch.testing.assert_close(found.double().exp(), apart(team, images(7, 8)), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.log_softmax(1), found, atol=1e-6, rtol=0)
    assert team.weights == (0.4, 0.3, 0.2, 0.1)


def test_very_sure_members_give_finite_logarithms() -> None:
    sure = DigitsCNN()
    with torch.no_grad():
        sure.head.bias[3] = 1e3
        found = Team([sure, sure], [1, 1])(images(2, 8))
    assert found.isfinite().all() and (found.argmax(1) == 3).all()


@pytest.mark.sweep(name=("digits_cnn", "mobilenet_v2", "timm/resnetv2_50", "transformers/vit"))
@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in ("inception_v3", "maxvit_t")])
def test_sharing_changes_no_bit_of_any_member_in_every_family(name: str) -> None:
    """Parts that members share end in different places, one of them in the first member's."""
    network = NETWORKS[name]
    torch.manual_seed(0)
    start = network.spec.build(5)
    blocks = list(network.spec.partition(start).values())
    firsts = (len(blocks) // 2, len(blocks) // 2, len(blocks) - 1, 0, 1)
    members = []
    for seed, first in enumerate(firsts):
        trained = {n for block in blocks[first:] for n in block}
        members.append(tuned(start, trained.__contains__, seed))
    team = Team(members, [1] * 5)
    inputs = images(4, network.image_size)
    with torch.no_grad():
        team(inputs)
        shared = team._logits(inputs, team._plan(inputs))
        whole = [logits_of(member(inputs)) for member in members]
    assert all(map(torch.equal, shared, whole))
    assert 1 < team.work(inputs) < 5


def test_work_says_what_the_members_share() -> None:
    start = MOBILE.build(5)
    inputs = images(2, 64)
    last = [n for block in list(MOBILE.partition(start).values())[-2:] for n in block]
    behind = [tuned(start, lambda n: n in last, seed) for seed in range(3)]
    everywhere = [tuned(start, lambda n: True, seed) for seed in range(3, 6)]
    assert Team(everywhere, [1] * 3).work(inputs) == 3
    assert Team([behind[0], behind[0], copy.deepcopy(behind[0])], [1] * 3).work(inputs) == 1
    pair, three = Team(behind[:2], [1, 1]).work(inputs), Team(behind, [1] * 3).work(inputs)
    assert 1 < pair < 2
    assert three - 1 == pytest.approx(2 * (pair - 1))
    mixed = Team([everywhere[0], behind[0], everywhere[1], behind[1]], [1] * 4)
    assert mixed.work(inputs) == pytest.approx(2 + pair)


class InPlace(nn.Linear):
    """Changes the tensor that it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.relu_().mul_(2))


def test_members_that_work_in_place_do_not_disturb_each_other() -> None:
    start = nn.Sequential(nn.Flatten(), nn.Linear(48, 48), InPlace(48, 3))
    team = Team([tuned(start, lambda n: n[0] == "2", seed) for seed in range(3)], [1, 1, 1])
    inputs = images(3, 4)
    with torch.no_grad():
        found = team(inputs)
        torch.testing.assert_close(found.double().exp(), apart(team, inputs), atol=1e-6, rtol=0)
    assert team.work(inputs) < 1.2


def test_a_team_stays_in_eval_mode_and_leaves_its_members_as_they_were() -> None:
    team = digits_team().train()
    state = {name: tensor.clone() for name, tensor in team.state_dict().items()}
    keys = [set(vars(module)) for module in team.members.modules()]
    team(images(5, 8))
    assert not any(module.training for module in team.modules())
    assert all(parameter.requires_grad for parameter in team.parameters())
    assert all(torch.equal(state[n], tensor) for n, tensor in team.state_dict().items())
    assert keys == [set(vars(module)) for module in team.members.modules()]


@pytest.mark.parametrize(
    ("members", "weights", "match"),
    [
        (0, [], "1 to 100 members"),
        (2, [1.0], "2 members and 1 weights"),
        (2, [1.0, 0.0], "positive"),
        (2, [1.0, float("nan")], "positive"),
    ],
)
def test_what_is_no_team_is_refused(members: int, weights: list[float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Team([DigitsCNN() for _ in range(members)], weights)


def test_members_of_two_architectures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"member 1 differs from member 0: head\.weight is \(3"):
        Team([DigitsCNN(4), DigitsCNN(3)], [1, 1])


def test_a_loaded_team_gives_the_same_bits_and_equal_tensors_are_stored_once(
    tmp_path: Path,
) -> None:
    team, path = digits_team(), tmp_path / "new" / "team.safetensors"
    save_team(team, path, {"policy": "{}"})
    assert is_team(path)
    loaded = load_team(path, DigitsCNN)
    with torch.no_grad():
        assert torch.equal(team(images(5, 8)), loaded(images(5, 8)))
    assert loaded.weights == team.weights
    one = tmp_path / "one.safetensors"
    save_file(team.members[0].state_dict(), one)
    head_alone = set(load_file(path)) & {f"3.{name}" for name in team.members[3].state_dict()}
    assert head_alone == {"3.head.weight", "3.head.bias"}
    assert path.stat().st_size < 3 * one.stat().st_size
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["policy"] == "{}"
    with pytest.raises(ValueError, match="use other names"):
        save_team(team, path, {"team": "mine"})


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(48, 48), nn.Linear(48, 48)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.b(self.a(x.flatten(1)))
        return out


def test_the_documented_reader_needs_no_more_than_safetensors(tmp_path: Path) -> None:
    torch.manual_seed(0)
    team, path = Team([Tied(), Tied()], [1, 2]), tmp_path / "tied.safetensors"
    save_team(team, path, {})
    assert {"0.a.weight", "1.a.weight"} == {n for n in load_file(path) if "weight" in n}
    for i, member in enumerate(team.members):
        names = list(member.state_dict())
        with safe_open(path, framework="pt") as file:
            aliases = json.loads(file.metadata()["team_aliases"])
            full = {name: f"{i}.{name}" for name in names}
            state = {name: file.get_tensor(aliases.get(key, key)) for name, key in full.items()}
        assert all(torch.equal(tensor, state[n]) for n, tensor in member.state_dict().items())


def damaged(path: Path, change: Callable[[dict[str, Any], dict[str, str]], object]) -> None:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path, metadata)


ONLY = "0.head.bias"
CASES: dict[str, tuple[Callable[[dict[str, Any], dict[str, str]], object], str]] = {
    "no team": (lambda t, m: m.pop("team"), "its metadata has no 'team'"),
    "no JSON": (lambda t, m: m.update(team="[1"), "no JSON"),
    "too many": (lambda t, m: m.update(team=json.dumps([1e-6] * 10**6)), "1 to 100 positive"),
    "no sum": (lambda t, m: m.update(team="[0.5, 0.4, 0.2, 0.1]"), "with the sum 1"),
    "truth": (lambda t, m: m.update(team="[true]"), "positive numbers"),
    "negative": (lambda t, m: m.update(team="[1.5, -0.5]"), "positive numbers"),
    "aliases": (lambda t, m: m.update(team_aliases="[]"), "from names to names"),
    "nowhere": (lambda t, m: m.update(team_aliases='{"1.x": "y"}'), "leads to no tensor"),
    "missing": (lambda t, m: t.pop(ONLY), r"1 tensors are missing, such as 0\.head\.bias"),
    "fewer": (lambda t, m: m.update(team="[1.0]"), "not expected, such as '1"),
    "shape": (lambda t, m: t.update({ONLY: torch.zeros(7)}), r"\(7,\) of torch.float32 instead"),
    "type": (lambda t, m: t.update({ONLY: t[ONLY].double()}), "float64 instead of"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_team_of_this_network_is_one_clear_error(case: str, tmp_path: Path) -> None:
    change, match = CASES[case]
    path = tmp_path / "team.safetensors"
    save_team(digits_team(), path, {})
    damaged(path, change)
    with pytest.raises(ValueError, match=match) as error:
        load_team(path, DigitsCNN)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_cut_short_or_none_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "team.safetensors"
    with pytest.raises(FileNotFoundError, match="found none"):
        load_team(path, DigitsCNN)
    assert not is_team(path)
    save_team(digits_team(), path, {})
    with pytest.raises(ValueError, match="networks other than this Tied"):
        load_team(path, Tied)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="no team of networks, or damaged"):
        load_team(path, DigitsCNN)
    path.write_bytes(b"something")
    assert not is_team(path)

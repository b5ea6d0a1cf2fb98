"""The command ``blocks`` says how a network is cut, in a form to paste."""

from __future__ import annotations

import pytest
from commands import Cli

from optuna_layerwise import ModelSpec


def test_the_blocks_of_a_network_are_shown_with_patterns_that_make_them(cli: Cli) -> None:
    code, out, _ = cli("blocks", "--model", "digits_cnn", "--classes", "5")
    assert code == 0
    assert "stage2" in out and "4 x 4 x" in out
    patterns: dict[str, list[str]] = {}
    exec(out[out.index("patterns = {") :], {}, found := {"patterns": patterns})
    given = ModelSpec(name="digits_cnn", weights=None, patterns=found["patterns"])
    own = ModelSpec(name="digits_cnn", weights=None)
    model = own.build(5)
    assert given.partition(model) == own.partition(model)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--model=resnet1", "unknown --model 'resnet1'"),
        ("--image-size=1000000000000", "invalid value for '--image-size'"),
        ("--classes=0", "invalid value for '--classes'"),
        ("--classes=1000000000000", "invalid value for '--classes'"),
        ("--model-arg==", "--model-arg must be name=value"),
        ("--granularity=coarse", "--granularity must be one of"),
    ],
)
def test_what_makes_no_sense_is_one_line(cli: Cli, option: str, said: str) -> None:
    code, _, err = cli("blocks", option)
    assert code == 2 and err.count("\n") == 1 and said in err

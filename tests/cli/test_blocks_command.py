"""The command ``blocks`` says how a network is cut, in a form to paste."""

from __future__ import annotations

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


def test_an_unknown_network_is_refused_as_by_tune(cli: Cli) -> None:
    code, _, err = cli("blocks", "--model", "resnet1")
    assert code != 0 and "unknown --model 'resnet1'" in err

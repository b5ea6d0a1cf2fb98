"""Networks of texts: from a table to predictions, by the same way as images."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from text_networks import texts, write_network, write_table
from transformers import DistilBertConfig, GPT2Config, MPNetConfig, RobertaConfig, T5Config
from typer.testing import CliRunner

from optuna_layerwise import FinetuneObjective, ModelSpec, Policy, Recipe
from optuna_layerwise.cli.app import app
from optuna_layerwise.data import Splits, Tokenizing, load_texts
from optuna_layerwise.models import partition
from optuna_layerwise.prediction import load_exported
from optuna_layerwise.records.final import Ending
from optuna_layerwise.training import Checkpoint, Trainer
from optuna_layerwise.training.fit import FitStopped

SMALL: dict[str, Any] = {
    **{"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2},
    "intermediate_size": 32,
}
RECIPE = Recipe(epochs=2, patience=None, batch_size=8, lr=3e-3)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_network(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("data") / "texts.csv", 20)


@pytest.fixture(scope="module")
def tokens(network: str, table: Path) -> Splits:
    return load_texts(table, Tokenizing(*ModelSpec(name=network).tokenizer))


def trainer(network: str, tokens: Splits, recipe: Recipe = RECIPE) -> Trainer:
    return Trainer(ModelSpec(name=network), tokens, recipe, device="cpu")


def test_padding_changes_nothing_and_pairs_are_told_apart(network: str) -> None:
    model = ModelSpec(name=network).build(3).eval()
    row = torch.tensor([[2, 5, 6, 7, 3]])
    padded = torch.nn.functional.pad(row, (0, 4), value=-1)
    beside = torch.cat([padded, torch.full((1, 9), 5)])
    expected = model(row)
    torch.testing.assert_close(model(padded), expected)
    torch.testing.assert_close(model(beside)[:1], expected)
    pair = torch.stack([row, torch.tensor([[0, 0, 0, 1, 1]])], dim=1)
    assert not torch.equal(model(pair), model(pair * torch.tensor([[[1], [0]]])))


def test_layers_are_blocks_and_every_parameter_is_in_one(network: str) -> None:
    model = ModelSpec(name=network).build(3)
    blocks = partition(model, granularity="block")
    assert [*blocks] == [
        *("stem", *(f"network.encoder.layer.{i}" for i in range(3)), "head"),
    ]
    names = [name for members in blocks.values() for name in members]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    ("config", "greatest", "stem"),
    [
        (RobertaConfig(**SMALL, max_position_embeddings=22, pad_token_id=1), 20, 1),
        (DistilBertConfig(dim=16, n_layers=3, n_heads=2, hidden_dim=32, vocab_size=30,
                          max_position_embeddings=20), 20, 1),
        (GPT2Config(n_embd=16, n_layer=3, n_head=2, n_positions=20, vocab_size=30), 20, 2),
        (MPNetConfig(**SMALL, max_position_embeddings=22), 20, 2),
    ],
)  # fmt: skip
def test_a_text_of_the_greatest_length_runs_and_the_layers_are_stages(
    config: Any, greatest: int, stem: int, tmp_path: Path
) -> None:
    name = write_network(tmp_path, config, says_length=False)
    spec = ModelSpec(name=name)
    assert spec.tokenizer[1] == greatest
    model = spec.build(3).eval()
    row = torch.full((1, greatest), 5)
    short = torch.nn.functional.pad(row[:, :7], (0, greatest - 7), value=-1)
    assert torch.isfinite(model(row)).all()
    torch.testing.assert_close(model(torch.cat([short, row]))[:1], model(row[:, :7]))
    blocks = partition(model, granularity="block")
    assert len(blocks) == 5 and [*blocks][0] == "stem" and [*blocks][-1] == "head"
    assert len([n for n in blocks["stem"] if "embed" in n or ".w" in n or "bias" in n]) >= stem
    assert sum(map(len, blocks.values())) == len([*model.parameters()])


def test_an_encoder_with_a_decoder_is_refused(tmp_path: Path) -> None:
    config = T5Config(d_model=16, num_layers=2, num_heads=2, d_kv=8, d_ff=32, vocab_size=30)
    name = write_network(tmp_path, config)
    with pytest.raises(ValueError, match="t5 has an encoder and a decoder; expected"):
        ModelSpec(name=name).build(3)


def test_tokens_are_those_of_the_tokenizer_and_long_texts_are_cut_with_a_warning(
    network: str, table: Path
) -> None:
    spec = ModelSpec(name=network)
    tokenizer, most = spec.tokenizer
    assert most == 40
    rows, cut = Tokenizing(tokenizer, 40)([("where is my card",), ("card",)])
    assert rows.tolist()[1][3:] == [-1] * 3 and (rows[0] >= 0).all() and not cut
    with pytest.warns(UserWarning, match="of 60 texts have more than 6 tokens"):
        splits = load_texts(table, Tokenizing(tokenizer, 6))
    assert splits.train.inputs.shape[1] == 6
    assert any("more than 6 tokens" in said for said in splits.notices)


def test_an_interrupted_training_goes_on_to_the_very_bits(
    network: str, tokens: Splits, tmp_path: Path
) -> None:
    ours = trainer(network, tokens)
    policy = Policy.uniform(ours.blocks, ["stage3", "head"])
    whole = ours.model()
    ours.train(policy, tokens.train, tokens.val, 0, model=whole)
    again, checkpoint = ours.model(), Checkpoint(tmp_path / "fit.pt", {"text": 1}, every=0)
    asked = iter(range(100))
    with pytest.raises(FitStopped):
        ours.train(
            *(policy, tokens.train, tokens.val, 0),
            model=ours.model(),
            should_stop=lambda: next(asked) == 7,  # in the middle of the second epoch
            checkpoint=checkpoint,
        )
    ours.train(policy, tokens.train, tokens.val, 0, model=again, checkpoint=checkpoint)
    pairs = zip(whole.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_texts_of_about_one_length_share_a_batch(network: str, tokens: Splits) -> None:
    seen: list[int] = []
    ours = trainer(network, tokens, dataclasses.replace(RECIPE, epochs=1, head_start="random"))
    model = ours.model()

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if module.training:
            lengths = (inputs[0] >= 0).sum(1)
            seen.append(int(lengths.max() - lengths.min()))

    # The network that trains is a copy; its class is the same.
    hook = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, inputs: note(module, inputs) if type(module) is type(model) else None
    )
    try:
        ours.train(Policy.uniform(ours.blocks, ["head"]), tokens.train, None, 0)
    finally:
        hook.remove()
    lengths = tokens.train.lengths
    assert lengths is not None
    assert np.mean(seen) < 0.5 * (lengths.max() - lengths.min())


def test_a_study_of_texts_ends_with_a_file_that_says_what_was_tested(
    network: str, table: Path, tmp_path: Path
) -> None:
    objective = FinetuneObjective(model=network, data=table, recipe=RECIPE, device="cpu")
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=2)
    ending = Ending(folds=1, refit=True, deliver="team", compete=True)
    file = tmp_path / "best.safetensors"
    final = objective.finalize(study, seeds=(7, 8), ending=ending, weights=file)
    assert final.delivered is not None and final.delivered.is_team
    exported = load_exported(file, device="cpu")
    test = objective.data.test.open()
    by_line = dict(enumerate(texts(20), start=2))
    lines = [int(name.removeprefix("line ")) for name in test.names]
    said = exported.predict([by_line[line][0] for line in lines])
    hits = np.mean([answer == by_line[line][1] for answer, line in zip(said, lines, strict=True)])
    assert hits == pytest.approx(final.delivered.test["accuracy"])
    with pytest.raises(ValueError, match="it is empty"):
        exported.predict(["  "])


def test_the_commands_take_texts(network: str, table: Path, tmp_path: Path) -> None:
    runner, url = CliRunner(), f"sqlite:///{tmp_path}/study.db"
    here = ["--storage", url, "--study", "questions"]
    quick = ["--epochs", "1", "--trials", "2", "--finalists", "1", "--final-seeds", "1"]
    quick += ["--final-folds", "1", "--no-compete", "--deliver", "one", "--no-live"]
    made = runner.invoke(
        app,
        *[
            [
                "tune",
                "--data",
                str(table),
                "--model",
                network,
                "--output",
                str(tmp_path),
                *here,
                *quick,
            ]
        ],
    )
    assert made.exit_code == 0, made.output
    assert "36 training, 12 validation and 12 test texts of 3 classes" in made.output
    page = tmp_path / "report.md"
    assert runner.invoke(app, ["report", *here, "-o", str(page)]).exit_code == 0
    assert "The examples are texts" in page.read_text()
    folder = tmp_path / "exported"
    written = runner.invoke(app, ["export", *here, "--to", str(folder)])
    assert written.exit_code == 0, written.output
    card = (folder / "README.md").read_text()
    assert "predict --model . texts.csv" in card and "photo" not in card
    new = tmp_path / "new.txt"
    new.write_text("where is my card\n\nplease give back the money\n")
    output = tmp_path / "said.csv"
    told = runner.invoke(app, ["predict", str(new), "--model", str(folder), "-o", str(output)])
    assert told.exit_code == 0, told.output
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == ["where is my card", "please give back the money"]
    assert {row["class"] for row in rows} <= {"card", "refund", "rate"}
    refused = runner.invoke(app, ["export", *here, "--to", str(folder), "--format", "onnx"])
    assert "is for networks of images" in str(refused.exception or refused.output)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text,label\nhello,a\n,b\n", "line 3: the cell of 'text' is empty"),
        ("text,label\nhello,a\nyou,a\n", "at least two labels"),
        ("question,label\nhello,a\nyou,b\n", "no column 'text' for the text"),
        ("text,label,split\nx,a,train\ny,b,somewhere\n", "line 3: the split must be one of"),
    ],
)
def test_a_table_that_is_not_as_expected_is_refused_with_its_line(
    content: str, said: str, network: str, tmp_path: Path
) -> None:
    path = tmp_path / "texts.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=said):
        load_texts(path, Tokenizing(*ModelSpec(name=network).tokenizer))


def test_options_for_images_are_refused_for_texts(network: str, table: Path) -> None:
    from optuna_layerwise.experiments.settings import Settings

    settings = Settings(data=str(table), model=network, weights="DEFAULT", paper_split=True)
    with pytest.raises(ValueError, match="--paper-split is for images"):
        settings.load()

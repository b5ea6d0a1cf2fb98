"""A small network of texts with its tokenizer, as ``save_pretrained`` writes them, and texts."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoModel, BertConfig, PreTrainedTokenizerFast

WORDS = {
    "card": "where is my card it has not come",
    "refund": "please give back the money for this purchase",
    "rate": "how many euros do you pay for a dollar today",
}


def texts(n: int) -> list[tuple[str, str]]:
    """Text and label, ``n`` of each of three classes, of several lengths and all different."""
    found = []
    for label, sentence in WORDS.items():
        words = sentence.split()
        for number in range(n):
            kept = words[number % 4 :] * (1 + number % 3)
            found.append((" ".join([*kept, f"no{number}"]), label))
    return found


def write_table(path: Path, n: int) -> Path:
    """A .csv with the columns text and label."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *texts(n)])
    return path


def write_network(folder: Path, config: Any = None, says_length: bool = True) -> str:
    """A network with random weights, by default a BERT, and its tokenizer.

    Its name for `ModelSpec` is returned.

    Args:
        folder: Where to write both.
        config: A configuration of transformers.
        says_length: Whether the tokenizer says that a text has 40 tokens at most.
    """
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordLevelTrainer(special_tokens=special)
    tokenizer.train_from_iterator(WORDS.values(), trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    said = {"model_max_length": 40} if says_length else {}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **said).save_pretrained(folder)
    default = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        AutoModel.from_config(config or default).save_pretrained(folder)
    return f"transformers/{folder}"

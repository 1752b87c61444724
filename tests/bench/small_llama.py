"""The model and the questions that the speed comparisons share: random weights, real text.

A 5-million-parameter Llama with a byte-level tokenizer trained on GSM8K's training questions, and
multiple-choice items cut from its test questions behind a shared 4-shot prefix. Answers mean nothing.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

VOCABULARY = 8192


def gsm8k(split: str) -> list[dict[str, str]]:
    """Rows of GSM8K from WATERBED_DATA."""
    file = Path(os.environ["WATERBED_DATA"]) / "gsm8k" / f"{split}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def prompts(count: int) -> list[str]:
    """What every side is asked to continue."""
    return [f"Question: {row['question']}\nAnswer:" for row in gsm8k("test")[:count]]


def items(count: int) -> list[dict[str, Any]]:
    """Multiple-choice items `{prompt, choices}` whose prompts begin with the same four shots.

    Two thirds of the items have choices of several tokens, one third a letter each.
    """
    draw = random.Random(0)
    rows = gsm8k("test")
    shots = "".join(_shot(row) for row in gsm8k("train")[:4])
    found = []
    for i, row in enumerate(rows[:count]):
        words = [" ".join(draw.sample(rows[j]["question"].split(), 3)) for j in range(i, i + 4)]
        choices = (
            [f" {w}" for w in ("A", "B", "C", "D")] if i % 3 == 0 else [f" {w}" for w in words]
        )
        found.append({"prompt": f"{shots}Question: {row['question']}\nAnswer:", "choices": choices})
    return found


def _shot(row: dict[str, str]) -> str:
    return f"Question: {row['question']}\nAnswer: {row['answer']}\n\n"


def make(folder: Path) -> Path:
    """Write the checkpoint, once."""
    if (folder / "config.json").is_file():
        return folder
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|pad|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator((_shot(row) for row in gsm8k("train")), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>"
    )
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder

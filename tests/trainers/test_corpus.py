"""Rows for pre-training: texts whole or in pieces, chats by their answers, other rows refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.corpus import encode_corpus, load_corpus
from waterbed.trainers.tokenizer import train_tokenizer

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}
TEXT = {"text": "The cold river runs past the old mill. " * 8}


def write(path: Path, *rows: dict) -> str:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([CHAT, TEXT] * 20, 300, 64)


def test_a_text_is_learned_whole_and_cut_where_it_does_not_fit(tokenizer, tmp_path):
    data = load_corpus({write(tmp_path / "t.jsonl", TEXT): None}, 0)
    pieces = encode_corpus(data, tokenizer, 16)
    assert all(len(p.tokens) <= 16 and all(p.said) for p in pieces)
    together = [t for p in pieces for t in p.tokens]
    assert tokenizer.decode(together) == TEXT["text"] + tokenizer.eos_token


def test_of_a_chat_beside_a_text_only_the_answer_is_learned(tokenizer, tmp_path):
    data = load_corpus(
        {write(tmp_path / "c.jsonl", CHAT): None, write(tmp_path / "t.jsonl", TEXT): None}, 0
    )
    chat, *texts = encode_corpus(data, tokenizer, 500)
    assert not all(chat.said) and any(chat.said)
    assert len(texts) == 1


def test_preference_rows_are_refused_by_their_columns(tmp_path):
    with pytest.raises(
        DataError, match="chosen, prompt, rejected; pre-training reads messages or text"
    ):
        load_corpus({"pocket/chat-preferences@train": 4}, 0)


def test_training_on_nothing_is_refused():
    with pytest.raises(UsageError, match="data is empty"):
        load_corpus({}, 0)


def test_a_checkpoint_is_trained_on_with_texts(pocket_base, tmp_path):
    data = {write(tmp_path / "t.jsonl", TEXT, TEXT): None}
    context = StageContext(tmp_path / "out")
    made = stages.get("continued-pretrain").run(pocket_base, context, data=data, epochs=5)
    losses = [json.loads(line)["loss"] for line in context.metrics_path.read_text().splitlines()]
    assert losses[-1] < losses[0]
    assert made.parent == pocket_base.digest

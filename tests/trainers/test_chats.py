"""Rows to examples to batches: what is learned, what is refused, how rows share a step."""

import json
from random import Random

import pytest

from waterbed.harness.datasets import load
from waterbed.harness.errors import DataError, UsageError
from waterbed.trainers.chats import Example, batches, encode, load_rows
from waterbed.trainers.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(load("pocket/pretrain@train", shape="messages", n=300), 400, 2048)


def chat(*contents: str) -> dict:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)]}


def write(path, *rows) -> str:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def test_the_model_learns_every_answer_with_its_end_and_nothing_else(tokenizer):
    (example,) = encode([("row", chat("Hi.", "Sure!", "More?", "No."))], tokenizer, 100)
    said = [t for t, mine in zip(example.tokens, example.said, strict=True) if mine]
    assert tokenizer.decode(said) == "Sure!<|end|>No.<|end|>"
    shown = tokenizer.decode([t for t in example.tokens if t not in said[-1:]])
    assert shown.startswith("<|user|>Hi.")


def test_the_prompt_is_encoded_as_at_inference(tokenizer):
    row = chat("What is 13 + 5?", "18.")
    (example,) = encode([("row", row)], tokenizer, 100)
    asked = tokenizer.apply_chat_template(
        row["messages"][:1], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    assert list(example.tokens[: len(asked)]) == asked
    assert not any(example.said[: len(asked)])
    assert all(example.said[len(asked) :])


def test_a_row_that_is_too_long_is_named(tokenizer):
    with pytest.raises(DataError, match=r"row 7 has \d+ tokens, more than 10"):
        encode([("row 7", chat("x " * 50, "y"))], tokenizer, 10)


def test_an_empty_answer_is_named(tmp_path):
    path = write(tmp_path / "rows.jsonl", chat("a", "b"), chat("a", "  "))
    with pytest.raises(DataError, match="is empty"):
        load_rows({path: None}, 0)


def test_training_on_nothing_is_refused():
    with pytest.raises(UsageError, match="data is empty"):
        load_rows({}, 0)


def test_a_template_that_rewrites_history_is_refused(tokenizer):
    import copy

    forgetful = copy.deepcopy(tokenizer)
    forgetful.chat_template = "{{ messages[-1]['content'] }}"
    with pytest.raises(DataError, match="rewrites earlier turns"):
        encode([("row 1", chat("a", "b"))], forgetful, 100)


def test_batches_hold_every_example_once_and_keep_the_budget():
    rng = Random(0)
    examples = [Example((i,) * (size := rng.randint(2, 40)), (True,) * size) for i in range(3000)]
    cut = batches(examples, 256, Random(1))
    assert sorted(e.tokens[0] for b in cut for e in b) == list(range(3000))
    assert all(len(b) * max(len(e.tokens) for e in b) <= 256 for b in cut)


def test_an_example_above_the_budget_is_a_batch_of_its_own():
    examples = [Example((0,) * 500, (True,) * 500), Example((1, 1), (True, True))]
    assert sorted(len(b) for b in batches(examples, 100, Random(0))) == [1, 1]

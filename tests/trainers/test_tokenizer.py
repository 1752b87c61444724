"""The chat tokenizer: exact, aligned for copying, with a template that takes any chat."""

import jinja2
import pytest

from waterbed.harness.datasets import load
from waterbed.trainers.tokenizer import END, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    rows = load("pocket/pretrain@train", shape="messages", n=2000)
    return train_tokenizer(rows, 1024, 2048)


def tokens(tokenizer, text: str) -> list[str]:
    return [tokenizer.decode([i]) for i in tokenizer(text, add_special_tokens=False).input_ids]


@pytest.mark.parametrize(
    "text", ["13 + 5 = 18.", "Ünïcödé 中文 🙂\n\n  x", '{"name": "plus"}', "\x00"]
)
def test_any_text_survives_encoding(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


def test_digits_stand_alone(tokenizer):
    assert tokens(tokenizer, "13 + 25") == ["1", "3", " + ", "2", "5"]


def test_a_tool_is_the_same_token_in_the_prompt_and_in_the_call(tokenizer):
    shown = tokens(tokenizer, "Tools:\nplus(x,b)\nmail(to,topic)")
    called = tokens(tokenizer, '{"name": "plus", "arguments": {"x": 5, "b": 9}}')
    assert {"plus", "x", "b"} <= set(shown) & set(called)


def test_the_vocabulary_has_the_size_asked_for(tokenizer):
    assert len(tokenizer) == 1024


def test_a_chat_may_have_a_system_turn_and_many_others(tokenizer):
    chat = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "A"},
        {"role": "assistant", "content": "B"},
        {"role": "user", "content": "C"},
    ]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|system|>S<|end|><|user|>A<|end|><|assistant|>B<|end|><|user|>C<|end|><|assistant|>"
    )
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_an_unknown_role_is_refused_by_the_template(tokenizer):
    with pytest.raises(jinja2.exceptions.TemplateError, match="system, user and assistant"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_generation_stops_at_the_end_token(tokenizer):
    assert tokenizer.eos_token == END
    assert tokenizer.pad_token_id != tokenizer.eos_token_id

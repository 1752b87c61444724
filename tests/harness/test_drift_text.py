"""What one answer's text says of it, and that no text takes long to say it."""

from __future__ import annotations

import time

import pytest

from waterbed.harness.drift_text import READ, asked_script, broken_json, is_json, script, shape

PROSE = "the quick brown fox jumps over the lazy dog and runs home to sleep until noon"


def test_prose_neither_loops_nor_repeats() -> None:
    assert shape(PROSE) == (False, False, 0.0, False, "latin")


def test_eight_times_the_same_four_words_are_a_loop_and_seven_are_not() -> None:
    words = "one two three four"
    assert shape(" x ".join([words] * 8)).loop
    assert not shape(" ".join(f"{words} {n}" for n in range(7))).loop
    assert shape(" ".join(f"{words} {n}" for n in range(8))).loop


def test_rep_4_is_the_share_of_runs_of_four_words_seen_before() -> None:
    assert shape("a b c d a b c d").repetition == pytest.approx(1 - 4 / 5)
    assert shape("a b c").repetition == 0.0


def test_a_text_without_spaces_is_read_by_its_characters() -> None:
    assert shape("哈" * 50).loop
    assert shape("a" * 200).loop


def test_a_loop_at_the_end_of_a_long_answer_is_found() -> None:
    long = " ".join(f"w{n}" for n in range(READ))
    assert not shape(long).loop
    assert shape(long + " again and again and" * 20).loop


@pytest.mark.parametrize(
    "opening",
    ["I'm sorry, but no.", "I cannot help.", "I can’t do that", "As an AI model", "Sorry, no"],
)
def test_a_refusal_is_known_by_its_opening_words(opening: str) -> None:
    assert shape(opening).refusal
    assert not shape(f"{PROSE}. {opening}").refusal


def test_sympathy_is_no_refusal() -> None:
    assert not shape("I'm sorry to hear that; here is what helps.").refusal


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Bonjour à tous", "latin"),
        ("Привет, Bob", "cyrillic"),
        ("你好吗", "han"),
        ("今日は漢字です", "kana"),
        ("안녕하세요", "hangul"),
        ("42 + 1", "none"),
        ("", "none"),
        ("∑ 42 €", "none"),
        ("مرحبا", "arabic"),
    ],
)
def test_the_script_of_an_answer_is_that_of_most_letters(text: str, name: str) -> None:
    assert script(text) == name


def test_an_item_in_another_script_is_known_in_spite_of_its_template() -> None:
    template = "<|user|> {} <|assistant|>"
    assert asked_script(template.format("请问一加一等于几")) == "han"
    assert asked_script(template.format("what is π?")) == "latin"


def test_json_may_be_bare_fenced_or_tagged_and_nothing_else() -> None:
    call = '{"name": "f", "arguments": {"x": [1, 2]}}'
    for text in (call, f"```json\n{call}\n```", f"<tool_call>{call}</tool_call>", "[]"):
        assert is_json(text) and not broken_json(text)
    for text in (call[:-1], f"Sure: {call}", '{"x": NaN}', "{'x': 1}"):
        assert not is_json(text) and broken_json(text)
    assert not is_json("12") and not broken_json("no call is needed")


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "[" * 150_000,
        '{"a":' * 30_000,
        "[" + "9" * 150_000 + "]",
        "\ud800 x" * 100_000,
        "\ud800" * 100_000,
        " " * 1_000_000,
        "\x00" * 100_000,
        "i'm " + "a " * 300_000,
        "```" * 200_000,
        "哈" * 1_000_000,
        "",
    ],
    ids=lambda text: repr(text[:8]),
)
def test_hostile_text_is_read_in_no_time(text: str) -> None:
    began = time.process_time()
    shape(text), asked_script(text), broken_json(text)
    assert time.process_time() - began < 1.0

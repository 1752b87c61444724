"""Where thinking ends, where stop strings cut, and how bytes become characters."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_llama import TEMPLATE, answers, ask, make_tokenizer, save

from waterbed.harness.backends.stopping import Speech, Stops
from waterbed.harness.backends.thinking import opens_thinking, split_thinking
from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.records import user


@pytest.mark.parametrize(
    ("text", "opened", "thinking", "answer"),
    [
        ("4", False, None, "4"),
        ("<think>2+2</think>\n\n4", False, "2+2", "4"),
        ("\n<think>\n2+2\n</think> 4", False, "2+2", "4"),
        ("2+2</think>4", True, "2+2", "4"),
        ("2+2</think>4", False, "2+2", "4"),
        ("<think>2+2</think>4", True, "2+2", "4"),
        ("<think>2+2 is", False, "2+2 is", ""),
        ("2+2 is", True, "2+2 is", ""),
        ("<think></think>", False, "", ""),
        ("write <think>x</think> like this", False, None, "write <think>x</think> like this"),
        ("<think>a</think>b</think>c", False, "a", "b</think>c"),
        ("", True, "", ""),
    ],
)
def test_thinking_is_split_from_the_answer(
    text: str, opened: bool, thinking: str | None, answer: str
) -> None:
    assert split_thinking(text, opened) == (thinking, answer)


def test_only_a_prompt_that_ends_in_an_open_block_has_opened_thinking() -> None:
    assert opens_thinking("<|assistant|><think>\n")
    assert not opens_thinking("<|assistant|><think>\n\n</think>\n\n")


def test_thinking_that_the_template_opened_and_nothing_closed_is_an_empty_answer(
    tmp_path: Path,
) -> None:
    folder = save(
        tmp_path / "thinker", template=TEMPLATE.replace("assistant|>{%", "assistant|><think>{%")
    )
    backend = TransformersBackend(folder, threads=1, batch_size=2)
    ticket = ask(backend, user("two and two?"), max_tokens=9)
    assert ticket.rendered.endswith("<think>")
    answer = answers(backend, [ticket])[0]
    assert (answer.text, answer.stop_reason, answer.completion_tokens) == ("", "length", 9)
    assert answer.thinking


@pytest.fixture(scope="module")
def speech() -> Speech:
    """Byte-level text."""
    return Speech(make_tokenizer())


def found_at(
    speech: Speech, text: str, *strings: str, opened: bool = False
) -> tuple[int, int] | None:
    """(number of tokens, place) at which a stop string is first found."""
    stops = Stops(speech, strings)
    tokens = speech.tokenizer(text, add_special_tokens=False)["input_ids"]
    for count in range(1, len(tokens) + 1):
        place = stops.find(tokens[:count], opened)
        if place is not None:
            return count, place
    return None


def test_characters_of_several_tokens_come_out_whole(speech: Speech) -> None:
    tokens = speech.tokenizer("hi 🙂 é 漢", add_special_tokens=False)["input_ids"]
    assert len(tokens) > 10
    assert speech.text(tokens) == "hi 🙂 é 漢"


def test_a_stop_string_of_several_bytes_is_found_with_its_last_byte(speech: Speech) -> None:
    text = "ab🙂cd"
    assert len(speech.tokenizer(text, add_special_tokens=False)["input_ids"]) == 8
    assert found_at(speech, text, "🙂") == (6, 2)
    assert found_at(speech, text, "b🙂c") == (7, 1)
    assert found_at(speech, text, "🙃") is None


def test_the_earliest_of_several_stop_strings_cuts(speech: Speech) -> None:
    place = found_at(speech, "the cat\n\nQuestion: x", "Question:", "\n\n")
    assert place is not None
    assert place[1] == len("the cat")


def test_a_stop_string_inside_thinking_does_not_cut(speech: Speech) -> None:
    text = "<think>a\n\nb</think>c\n\nd"
    place = found_at(speech, text, "\n\n")
    assert place is not None
    assert place[1] == text.rindex("\n\n")
    inner = found_at(speech, text.removeprefix("<think>"), "\n\n", opened=True)
    assert inner is not None
    assert inner[1] == text.rindex("\n\n") - len("<think>")


def test_special_tokens_are_silent(speech: Speech) -> None:
    ends = speech.tokenizer.eos_token_id
    tokens = speech.tokenizer("cat", add_special_tokens=False)["input_ids"]
    assert speech.text([*tokens, ends, *tokens]) == "catcat"

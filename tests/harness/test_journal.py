"""The journal keeps every answer once, survives a torn end, and its keys tell answers apart."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterbed.harness.backends.base import Ticket
from waterbed.harness.errors import StoreError
from waterbed.harness.journal import (
    Entry,
    Journal,
    answer_key,
    decode_answer,
    encode_answer,
    shared_key,
)
from waterbed.harness.records import Choice, Generate, Generation, GenerationSettings

TICKET = Ticket(Generate("hi"), "hi", GenerationSettings(), 7, "t", "s", 0, 0)


def entry(number: int, text: str = "x") -> Entry:
    return Entry(f"key{number}", "candidate", TICKET, Generation(text))


def test_what_was_flushed_is_found_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.add(entry(1, "\ud800 lone surrogate, \x00 and \u202e"))
    journal.close()
    again = Journal(tmp_path / "a.jsonl")
    again.close()
    found = again.find("key1")
    assert found == (Generation("\ud800 lone surrogate, \x00 and \u202e"), False)


@given(cut=st.integers(min_value=0, max_value=10_000))
def test_cutting_the_file_anywhere_loses_only_the_torn_line(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "a.jsonl"
    journal = Journal(path)
    for number in range(5):
        journal.add(entry(number))
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    complete_lines = whole[: min(cut, len(whole))].count(b"\n")
    again = Journal(path)
    assert len(again) == complete_lines
    again.add(entry(9))
    again.close()
    last = Journal(path)
    last.close()
    assert len(last) == complete_lines + 1


def test_the_first_answer_under_a_key_stays(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.add(entry(1, "first"))
    journal.add(entry(1, "second"))
    journal.close()
    assert (tmp_path / "a.jsonl").read_text().count("\n") == 1
    assert journal.find("key1") == (Generation("first"), False)


def test_a_journal_that_cannot_be_written_names_the_file_and_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="resumes"):
        Journal(tmp_path / "missing" / "a.jsonl")


@pytest.mark.parametrize(
    "answer", [Generation("a", "length", "hm", 3, 4, 0.5), Choice((-1.0,), (2,))]
)
def test_answers_survive_encoding(answer: Generation | Choice) -> None:
    assert decode_answer(encode_answer(answer)) == answer


CHANGES = {
    "rendered": "other",
    "settings": GenerationSettings(max_tokens=3),
    "seed": 8,
    "task": "u",
    "sample_id": "z",
    "repeat": 1,
    "ordinal": 1,
}


@pytest.mark.parametrize("field", CHANGES)
def test_the_key_changes_with_everything_the_answer_depends_on(field: str) -> None:
    changed = dataclasses.replace(TICKET, **{field: CHANGES[field]})
    assert answer_key("candidate", "m", changed) != answer_key("candidate", "m", TICKET)


def test_the_key_changes_with_the_model_and_the_role() -> None:
    keys = {answer_key(r, m, TICKET) for r in ("candidate", "judge") for m in ("a", "b")}  # type: ignore[arg-type]
    assert len(keys) == 4


def test_only_greedy_answers_are_shared_and_without_their_place() -> None:
    elsewhere = dataclasses.replace(TICKET, task="u", sample_id="z", repeat=2, seed=9)
    assert shared_key("candidate", "m", elsewhere) == shared_key("candidate", "m", TICKET)
    sampled = dataclasses.replace(TICKET, settings=GenerationSettings(temperature=0.7))
    assert shared_key("candidate", "m", sampled) is None

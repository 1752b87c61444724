"""Recorded responses: what is read, what is refused, what is answered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_llama import answers, ask, pose

from waterbed.harness.backends.base import Ticket
from waterbed.harness.backends.replay import ReplayBackend, load_responses
from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.records import Fault, Generation, user


def written(folder: Path, *lines: Any) -> Path:
    """A JSONL file of these lines; text is written as it is."""
    file = folder / "answers.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return file


def test_responses_are_found_by_id_and_repeat(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        {"id": "a", "response": "one"},
        "",
        {"id": "a", "response": "two", "repeat": 1},
        {"id": 7, "response": "", "other": [1]},
    )
    assert load_responses(file) == {("a", 0): "one", ("a", 1): "two", ("7", 0): ""}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{not json", "not valid JSON"),
        ("[1]", "expected a JSON object"),
        ('{"response": "x"}', "'id' must be text"),
        ('{"id": null, "response": "x"}', "'id' must be text"),
        ('{"id": true, "response": "x"}', "'id' must be text"),
        ('{"id": "a"}', "'response' must be text, got nothing"),
        ('{"id": "a", "response": 4}', "'response' must be text, got 4"),
        ('{"id": "a", "response": ["x"]}', "'response' must be text"),
        ('{"id": "a", "response": "x", "repeat": -1}', "'repeat' must be"),
        ('{"id": "a", "response": "x", "repeat": "0"}', "'repeat' must be"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = written(tmp_path, {"id": "ok", "response": "x"}, line)
    with pytest.raises(DataError) as refused:
        load_responses(file)
    assert str(refused.value).startswith(f"{file}:2: ")
    assert said in str(refused.value)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_bytes(b'{"id": "a", "response": "\xff"}\n')
    with pytest.raises(DataError, match=":1: not valid JSON"):
        load_responses(file)


def test_a_duplicate_names_both_lines(tmp_path: Path) -> None:
    file = written(tmp_path, {"id": 1, "response": "x"}, "", {"id": "1", "response": "y"})
    with pytest.raises(DataError, match=rf"{file.name}:3: id '1' repeat 0 is already at .*:1;"):
        load_responses(file)


def test_an_empty_file_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no responses"):
        load_responses(written(tmp_path))
    with pytest.raises(UsageError, match="There is no file"):
        load_responses(tmp_path / "nowhere.jsonl")


def ticket(backend: ReplayBackend, name: str, **changes: Any) -> Ticket:
    """A ticket for one sample."""
    return replace(ask(backend, user("hi")), sample_id=name, **changes)


def test_the_first_request_is_answered_and_everything_else_is_missing() -> None:
    backend = ReplayBackend(
        [{"id": "a", "response": "one"}, {"id": "a", "response": "two", "repeat": 1}]
    )
    found = answers(
        backend,
        [
            ticket(backend, "a"),
            ticket(backend, "a", repeat=1),
            ticket(backend, "a", repeat=2),
            ticket(backend, "b"),
            ticket(backend, "a", ordinal=1),
            replace(pose(backend, "hi", "x"), sample_id="a"),
        ],
    )
    assert [a.text for a in found[:2]] == ["one", "two"]
    assert [a.reason for a in found[2:]] == ["missing_response"] * 4
    assert all(isinstance(a, Fault) for a in found[2:])
    assert "'b'" in found[3].detail
    assert (backend.ids, backend.repeats) == ({"a"}, 2)


def test_recorded_thinking_is_no_answer() -> None:
    backend = ReplayBackend(
        [{"id": "a", "response": "<think>x</think>4"}, {"id": "b", "response": "<think>x"}]
    )
    found = answers(backend, [ticket(backend, "a"), ticket(backend, "b")])
    assert found == [Generation("4", thinking="x"), Generation("", thinking="x")]


def test_the_identity_is_the_content_and_not_the_order() -> None:
    rows = [{"id": "a", "response": "x"}, {"id": "b", "response": "y"}]
    same = ReplayBackend(rows[::-1])
    assert ReplayBackend(rows).identity == same.identity
    assert ReplayBackend([rows[0]]).identity != same.identity
    assert ReplayBackend([rows[0], {"id": "b", "response": "z"}]).identity != same.identity
    assert json.loads(json.dumps(same.describe()))["responses"] == 2


def test_batches_hold_each_ticket_once() -> None:
    backend = ReplayBackend([{"id": "a", "response": "x"}])
    batches = backend.batches([ticket(backend, "a")] * 600)
    assert [i for b in batches for i in b] == list(range(600))

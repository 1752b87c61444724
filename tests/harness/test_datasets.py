"""Training data is checked before training time is spent, and a test split is never trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from waterbed.harness.datasets import load
from waterbed.harness.errors import DataError, UnknownName, UsageError

GOOD = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


def test_a_test_split_is_refused_with_the_split_to_use() -> None:
    with pytest.raises(UsageError, match="pocket/math@train"):
        load("pocket/math@test", shape="messages", n=1)


def test_rows_follow_from_name_split_number_and_seed() -> None:
    first = load("pocket/math@train", shape="messages", n=20, seed=1)
    assert first == load("pocket/math@train", shape="messages", n=20, seed=1)
    assert first != load("pocket/math@train", shape="messages", n=20, seed=2)


def test_a_dataset_of_another_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="preference rows"):
        load("pocket/math@train", shape="preference", n=1)


def test_an_unknown_dataset_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        load("pocket/maths@train", shape="messages", n=1)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [("{", ":2: not valid JSON"), ("[1]", ":2: expected a JSON object"), ("[" * 100_000, ":2:")],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, wanted: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(GOOD) + "\n" + line + "\n")
    with pytest.raises(DataError, match=wanted):
        load(str(file), shape="messages")


def test_a_row_without_its_column_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(GOOD) + "\n" + json.dumps({"prompt": "a"}) + "\n")
    with pytest.raises(DataError, match="row 2 lacks 'messages'"):
        load(str(file), shape="messages")


def test_an_empty_file_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match="no rows"):
        load(str(tmp_path / "rows.jsonl"), shape="messages")

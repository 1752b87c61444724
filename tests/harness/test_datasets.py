"""Training data is checked before training time is spent, and a test split is never trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.datasets import HubReference, fingerprint, load, load_any
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
    with pytest.raises(DataError, match=r"rows.jsonl:2: lacks 'messages'"):
        load(str(file), shape="messages")


def test_an_empty_file_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match="no rows"):
        load(str(tmp_path / "rows.jsonl"), shape="messages")


@pytest.mark.parametrize(
    "reference",
    ["pocket/math@test", "hub:a/b@1f2e?split=test", "hub:a/b@1f2e?split=test_sft", "x@test[:5]"],
)
def test_whatever_is_called_test_is_refused(reference: str) -> None:
    with pytest.raises(UsageError, match="is a test split"):
        load(reference, shape="messages", n=1)


def test_a_hub_reference_says_revision_configuration_and_split() -> None:
    short, long = "hub:a/b@1f2e", "hub:a/b@refs/pr/3?config=en&split=train_sft"
    assert HubReference.parse(short) == HubReference("a/b", "1f2e", None, "train")
    assert HubReference.parse(long) == HubReference("a/b", "refs/pr/3", "en", "train_sft")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("hub:a/b", "names no revision"),
        ("hub:@1f2e", "names no revision"),
        ("hub:a/b@1f2e?subset=en", "says 'subset'"),
        ("hub:a/b@1f2e?en", "says 'en'"),
    ],
)
def test_a_hub_reference_that_pins_nothing_is_refused(reference: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load(reference, shape="messages")


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="hub does not give 'nobody/nothing'") as refused:
        load("hub:nobody/nothing@1f2e", shape="messages")
    assert "\n" not in str(refused.value)


def test_hub_rows_of_a_split_are_checked_and_named_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The hub's own loader reads a local folder of this name, so no network is needed.
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    bad = {"messages": [{"role": "robot", "content": "a"}]}
    (folder / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (GOOD, GOOD)))
    (folder / "dev.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (GOOD, bad)))
    monkeypatch.chdir(tmp_path)
    assert load("hub:owner/name@1f2e", shape="messages") == [GOOD, GOOD]
    assert load("hub:owner/name@1f2e", shape="messages", n=1) == [GOOD]
    with pytest.raises(DataError, match=r"split=validation: row 2: turn 1 has the role 'robot'"):
        load("hub:owner/name@1f2e?split=validation", shape="messages")
    with pytest.raises(UsageError, match="split 'nothing'"):
        load("hub:owner/name@1f2e?split=nothing", shape="messages")


def test_a_row_that_is_too_long_is_named_with_its_tokens(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(GOOD) + "\n" + json.dumps({"prompt": "a b c", "completion": "d"}))

    def words(row):
        return sum(len(turn["content"].split()) for turn in row["messages"])

    assert len(load(str(file), shape="messages", tokens=words, longest=4)) == 2
    with pytest.raises(DataError, match=r"rows.jsonl:2: 4 tokens are more than 3"):
        load(str(file), shape="messages", tokens=words, longest=3)


def test_a_fingerprint_is_of_the_rows_and_their_order() -> None:
    first = load("pocket/math@train", shape="messages", n=20, seed=1)
    again = load("pocket/math@train", shape="messages", n=20, seed=1)
    assert fingerprint(first) == fingerprint(again)
    assert fingerprint(first)["rows"] == 20
    assert len({fingerprint(r)["sha256"] for r in (first, first[::-1], first[:19])}) == 3


@pytest.mark.parametrize("n", [0, -1, True, 2.5, "5"])
def test_a_number_of_rows_that_means_nothing_is_named(n: Any) -> None:
    with pytest.raises(UsageError, match=f"is to give {n!r} rows"):
        load("pocket/math@train", shape="messages", n=n)


def test_a_file_of_another_kind_is_not_taken_for_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("prompt,answer\n")
    with pytest.raises(UsageError, match=r"rows.csv' is no JSONL file"):
        load(str(tmp_path / "rows.csv"), shape="messages")


def test_data_of_whatever_shape_is_known_by_its_columns(tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text('{"text": "a story"}\n')
    (tmp_path / "odd.jsonl").write_text('{"question": "a", "label": 1}\n')
    assert load_any(str(tmp_path / "text.jsonl")) == [{"text": "a story"}]
    assert set(load_any("pocket/chat-preferences@train", n=1)[0]) == {
        "prompt",
        "chosen",
        "rejected",
    }
    with pytest.raises(DataError, match=r"odd.jsonl:1 has the columns label, question"):
        load_any(str(tmp_path / "odd.jsonl"))

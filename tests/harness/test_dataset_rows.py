"""Bad rows are named with what is wrong before training; good ones come out in one form a shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.dataset_rows import (
    MOST_NAMED,
    Shape,
    check_rows,
    shape_of,
    texts_of,
)
from waterbed.harness.datasets import load
from waterbed.harness.errors import DataError


def turns(*pairs: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in pairs]


Q, A, B = ("user", "ask"), ("assistant", "say"), ("assistant", "mumble")
CHAT = {"messages": turns(Q, A)}
PAIR = {"prompt": turns(Q), "chosen": turns(A), "rejected": turns(B)}


def checked(row: Any, shape: Shape) -> Any:
    return check_rows([("x:1", row)], shape)[0]


@pytest.mark.parametrize(
    "row",
    [
        CHAT,
        {"prompt": "ask", "completion": "say"},
        {"prompt": turns(Q), "completion": turns(A)},
        {"conversations": [{"from": "human", "value": "ask"}, {"from": "gpt", "value": "say"}]},
        {**CHAT, "source": "a column that nobody needs"},
    ],
)
def test_chats_come_in_the_forms_of_the_hub(row: Any) -> None:
    assert checked(row, "messages") == CHAT


@pytest.mark.parametrize(
    "row",
    [
        PAIR,
        {"prompt": "ask", "chosen": "say", "rejected": "mumble"},
        {"chosen": turns(Q, A), "rejected": turns(Q, B)},
        {"prompt": "ask", "chosen": turns(Q, A), "rejected": turns(Q, B)},
    ],
)
def test_preferences_come_in_the_forms_of_the_hub(row: Any) -> None:
    assert checked(row, "preference") == PAIR


def test_a_tool_call_needs_no_words_and_keeps_its_call() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    answer = {"role": "tool", "content": "4", "tool_call_id": "1"}
    row = checked({"messages": [*turns(Q), call, answer, *turns(A)]}, "messages")
    assert row["messages"][1] == {**call, "content": ""}
    assert row["messages"][2] == answer


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "a"}, "lacks 'messages'"),
        ({"messages": "a"}, "must be a list of turns"),
        ({"messages": []}, "is empty"),
        ({"messages": ["a"]}, "turn 1 must be"),
        ({"messages": turns(("bot", "a"), A)}, "the role 'bot'; known are system"),
        ({"messages": turns((["user"], "a"), A)}, "the role ['user']"),
        ({"messages": turns(Q, A, B)}, "turns 2 and 3 are both the assistant's"),
        ({"messages": turns(Q, ("user", "b"), A)}, "turns 1 and 2 are both the user's"),
        ({"messages": turns(Q, A, ("system", "s"), Q, A)}, "turn 3 is a system turn"),
        ({"messages": turns(A)}, "nobody has asked"),
        ({"messages": turns(("system", "s"), A)}, "nobody has asked"),
        ({"messages": turns(Q)}, "the last turn is the user's"),
        ({"messages": turns(Q, ("assistant", " \n"))}, "turn 2 (assistant) is empty"),
        ({"messages": turns(Q, ("assistant", 4))}, "must be text, got 4"),
        ({"messages": turns(Q, ("assistant", None))}, "must be text, got nothing"),
        ({"messages": turns(Q, ("assistant", " ask "))}, "repeats its prompt"),
        (
            {"messages": turns(Q, ("assistant", "a\x00b"))},
            "control character (U+0000) at character 1",
        ),
        ({"messages": turns(Q, ("assistant", "\ud83d"))}, "half of a surrogate pair (U+D83D)"),
        ({"prompt": "ask", "completion": ""}, "completion is empty"),
        ({"prompt": "ask", "completion": "say", "label": False}, "is a bad answer"),
        ([1], "expected an object"),
    ],
)
def test_a_bad_chat_is_named_with_its_fault(row: Any, said: str) -> None:
    with pytest.raises(DataError) as refused:
        checked(row, "messages")
    assert str(refused.value).startswith("x:1: ")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rejected": turns(("assistant", "say "))}, "are equal"),
        ({"chosen": "ask"}, "'chosen' repeats its prompt"),
        ({"chosen": " "}, "chosen is empty"),
        ({"rejected": None}, "lacks 'rejected'"),
        ({"prompt": turns(Q, A)}, "does not end with a user turn"),
        ({"chosen": turns(A, Q, B)}, "must add one assistant turn"),
        ({"prompt": None, "chosen": "a", "rejected": "b"}, "without a 'prompt'"),
        (
            {"prompt": None, "chosen": turns(Q, A), "rejected": turns(("user", "x"), A)},
            "part before",
        ),
        ({"prompt": 7}, "'prompt' must be a list of turns"),
    ],
)
def test_a_bad_preference_is_named_with_its_fault(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as refused:
        checked({**PAIR, **change}, "preference")
    assert said in str(refused.value)


def test_rewards_and_texts_are_checked_too() -> None:
    row = checked({"prompt": "ask", "task": "gsm8k", "id": 7}, "reward")
    assert row == {"prompt": turns(Q), "task": "gsm8k", "id": 7}
    with pytest.raises(DataError, match="task must be text"):
        checked({"prompt": "ask", "task": 1}, "reward")
    with pytest.raises(DataError, match="text is empty"):
        checked({"text": "\n"}, "text")


def test_all_bad_rows_are_said_at_once_and_the_rest_is_counted() -> None:
    rows = [(f"d:{i}", {"text": "" if i % 2 else "fine"}) for i in range(1, 60)]
    with pytest.raises(DataError) as refused:
        check_rows(rows, "text")
    lines = str(refused.value).splitlines()
    assert lines[0] == "30 of 59 rows cannot be trained on:"
    assert [line.split(": ")[0] for line in lines[1:3]] == ["d:1", "d:3"]
    assert len(lines) == MOST_NAMED + 2
    assert lines[-1] == "... and 20 more."


def test_lines_that_are_no_rows_are_said_beside_bad_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a"}\n{\n{"text": ""}\n[1]\n')
    with pytest.raises(DataError) as refused:
        load(str(file), shape="text")
    lines = str(refused.value).splitlines()
    assert lines[0] == "3 of 4 rows cannot be trained on:"
    assert "rows.jsonl:2: not valid JSON" in lines[1]
    assert "rows.jsonl:3: text is empty" in lines[2]
    assert "rows.jsonl:4: expected a JSON object" in lines[3]


def test_the_shape_of_a_row_is_told_by_its_columns() -> None:
    assert [shape_of(r) for r in (CHAT, PAIR, {"prompt": "a", "task": "b"}, {"text": "a"})] == [
        "messages",
        "preference",
        "reward",
        "text",
    ]
    assert shape_of({"prompt": "a", "completion": "b"}) == "messages"
    assert shape_of({"question": "a"}) is None


def test_every_text_that_could_be_learned_is_found() -> None:
    assert texts_of(CHAT) == ["ask", "say"]
    assert texts_of(PAIR) == ["ask", "say", "mumble"]
    assert texts_of({"text": "a story"}) == ["a story"]

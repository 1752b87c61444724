"""The single-call check against the reference's verdicts and its corner cases."""

import ast
import json
import os
from pathlib import Path

import pytest

from waterbed.suites.function_calls import check_call, check_calls, json_calls

CATEGORIES = ("simple_python", "multiple", "live_simple", "live_multiple")
DOCUMENT = {
    "name": "plus",
    "parameters": {
        "type": "dict",
        "properties": {"x": {"type": "integer"}, "note": {"type": "string"}},
        "required": ["x"],
    },
}
ACCEPTED = {"x": [5], "note": ["a b", ""]}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


@pytest.fixture(scope="module")
def official() -> dict[str, tuple[list, list]]:
    """Function documents and gold calls by item id."""
    root = os.environ.get("WATERBED_DATA")
    if not root or not os.environ.get("WATERBED_VECTORS"):
        pytest.skip("needs WATERBED_DATA and WATERBED_VECTORS")
    folder = Path(root) / "bfcl_v4"
    items = {}
    for category in CATEGORIES:
        gold = {
            r["id"]: r["ground_truth"]
            for r in lines(folder / "possible_answer" / f"BFCL_v4_{category}.json")
        }
        for row in lines(folder / f"BFCL_v4_{category}.json"):
            items[row["id"]] = (row["function"], gold[row["id"]])
    return items


def verdict(row: dict, functions: list, gold: list) -> tuple[bool, str | None]:
    """Our verdict on one reference row."""
    calls = ast.literal_eval(row["candidate"])
    name, accepted = next(iter(gold[0].items()))
    function = next(f for f in functions if f["name"] == name)
    if row["name_mode"] == "underscore":
        function = {**function, "name": name.replace(".", "_")}
    multiple = 2 if row["category"].endswith("multiple") else 1
    found = check_calls(calls, function, accepted, offered=multiple)
    return found.valid, found.error


def test_every_reference_verdict_on_single_python_calls_is_reproduced(official):
    rows = lines(Path(os.environ["WATERBED_VECTORS"]) / "bfcl.jsonl")
    rows = [r for r in rows if r["type"] == "ast" and r["category"] in CATEGORIES]
    assert len(rows) > 3500
    differing = [
        (r["id"], r["variant"], ours)
        for r in rows
        if (ours := verdict(r, *official[r["id"]])) != (r["valid"], r["error_type"])
    ]
    assert differing == []


def test_true_is_not_an_integer():
    assert check_call({"plus": {"x": True}}, DOCUMENT, ACCEPTED).error == "type_error:simple"


def test_strings_are_compared_without_case_spaces_and_light_punctuation():
    assert check_call({"plus": {"x": 5, "note": "A-B."}}, DOCUMENT, ACCEPTED).valid
    assert not check_call({"plus": {"x": 5, "note": "a:b"}}, DOCUMENT, ACCEPTED).valid


def test_an_answer_needs_exactly_one_call():
    call = {"plus": {"x": 5}}
    assert check_calls([call], DOCUMENT, ACCEPTED).valid
    assert check_calls([], DOCUMENT, ACCEPTED).error == "simple_function_checker:wrong_count"
    assert not check_calls([call, call], DOCUMENT, ACCEPTED).valid


@pytest.mark.parametrize(
    "text",
    ["", "No tool fits.", "5", '{"name": "plus"}', '{"name": 1, "arguments": {}}', "[" * 100_000],
)
def test_text_that_holds_no_call_is_no_call(text):
    assert json_calls(text) is None


def test_json_calls_are_read_alone_or_in_a_list():
    text = '{"name": "plus", "arguments": {"x": 5}}'
    assert json_calls(text) == json_calls(f"[{text}]") == [{"plus": {"x": 5}}]

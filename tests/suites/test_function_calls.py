"""The check of calls against the reference's verdicts and its corner cases."""

import ast
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterbed.harness.records import ToolCall
from waterbed.suites.function_calls import (
    check_call,
    check_calls,
    check_unordered,
    json_calls,
    native_calls,
)

CATEGORIES = (
    *("simple_python", "simple_java", "simple_javascript"),
    *("multiple", "parallel", "parallel_multiple"),
    *("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple"),
)
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
    if row["name_mode"] == "underscore":
        functions = [{**f, "name": f["name"].replace(".", "_")} for f in functions]
        gold = [{name.replace(".", "_"): a for name, a in g.items()} for g in gold]
    documents = {f["name"]: f for f in functions}
    wanted = [(documents[name], accepted) for g in gold for name, accepted in g.items()]
    if "parallel" in row["category"]:
        found = check_unordered(calls, wanted)
    else:
        language = {"simple_java": "java", "simple_javascript": "javascript"}
        found = check_calls(
            calls,
            *wanted[0],
            offered=2 if "multiple" in row["category"] else 1,
            language=language.get(row["category"], "python"),
        )
    return found.valid, found.error


def test_every_verdict_of_the_reference_is_reproduced(official):
    rows = lines(Path(os.environ["WATERBED_VECTORS"]) / "bfcl.jsonl")
    rows = [r for r in rows if r["type"] == "ast"]
    assert len(rows) > 5900
    assert {r["category"] for r in rows} == set(CATEGORIES)
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


def test_calls_in_parallel_may_come_in_any_order_and_each_counts_once():
    wanted = [(DOCUMENT, {"x": [5], "note": [""]}), (DOCUMENT, {"x": [6], "note": [""]})]
    five, six = {"plus": {"x": 5}}, {"plus": {"x": 6}}
    assert check_unordered([six, five], wanted).valid
    assert check_unordered([five, five], wanted).error == (
        "parallel_function_checker_no_order:cannot_find_match"
    )
    assert check_unordered([five], wanted).error == "parallel_function_checker_no_order:wrong_count"


def test_a_taken_call_is_not_given_back():
    wanted = [(DOCUMENT, {"x": [5, 6], "note": [""]}), (DOCUMENT, {"x": [5], "note": [""]})]
    five, six = {"plus": {"x": 5}}, {"plus": {"x": 6}}
    assert check_unordered([six, five], wanted).valid
    assert not check_unordered([five, six], wanted).valid


def test_native_calls_need_arguments_that_are_a_json_object():
    assert native_calls([ToolCall("f", '{"x": 5}')]) == [{"f": {"x": 5}}]
    assert native_calls([]) == []
    for broken in ("", "{x: 5}", "[5]", "null", "[" * 100_000):
        assert native_calls([ToolCall("f", '{"x": 5}'), ToolCall("f", broken)]) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
)
KINDS = {
    "python": ("string", "integer", "float", "boolean", "array", "tuple", "dict", "any"),
    "java": ("integer", "long", "float", "boolean", "char", "Array", "ArrayList", "HashMap", "any"),
    "javascript": ("integer", "float", "Bigint", "Boolean", "String", "array", "dict", "any"),
}


@given(
    st.data(), VALUES, st.sampled_from([[5], ["a", ""], [[1]], [{"k": [1]}], [[{"k": [1]}], ""]])
)
def test_no_argument_breaks_the_check(data, value, accepted):
    language = data.draw(st.sampled_from(sorted(KINDS)))
    kind, inner = (data.draw(st.sampled_from(KINDS[language])) for _ in range(2))
    properties = {"x": {"type": kind, "items": {"type": inner}}}
    document = {"name": "f", "parameters": {"properties": properties, "required": ["x"]}}
    found = check_call({"f": {"x": value}}, document, {"x": accepted}, language)
    assert found.valid or ":" in found.error

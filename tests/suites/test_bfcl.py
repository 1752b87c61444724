"""BFCL's single-turn tasks ask, read and weigh as the benchmark does, whatever a model answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterbed.harness.cli.app import main
from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.records import Generate, Generation, Sample, Score, ToolCall
from waterbed.harness.tasks import Task, resolve, tasks
from waterbed.suites.bfcl import CATEGORIES
from waterbed.suites.bfcl_figures import MULTI_TURN, figures
from waterbed.suites.bfcl_files import questions
from waterbed.suites.bfcl_functions import hinted
from waterbed.suites.bfcl_prompts import with_system

needs_data = pytest.mark.skipif(
    not (Path(os.environ.get("WATERBED_DATA", "")) / "bfcl_v4").is_dir(),
    reason="WATERBED_DATA has no bfcl_v4/",
)
#: Items whose own accepted answers the reference rejects, in the form that `reference` writes.
REJECTED = {
    *("simple_python_200", "parallel_multiple_26", "live_simple_106-63-0", "live_simple_112-68-0"),
    *("live_multiple_144-56-0", "live_multiple_507-149-4", "live_multiple_834-178-9"),
    *("live_multiple_862-181-3", "live_multiple_964-207-0"),
}
DOCUMENT = {
    "name": "math.add",
    "description": "Add.",
    "parameters": {
        "type": "dict",
        "properties": {"x": {"type": "integer", "description": "a number"}},
        "required": ["x"],
    },
}


def item(category: str, accepted: list[Any]) -> Sample:
    shown = {"turns": [{"role": "user", "content": "Add."}], "functions": [DOCUMENT]}
    return Sample("i", shown, {"category": category, "accepted": accepted})


@pytest.fixture
def bfcl() -> Task:
    pytest.importorskip("tree_sitter_java", reason="needs the extra bfcl")
    return tasks.get("bfcl")


def score(name: str, sample: Sample, generation: Generation) -> Score:
    found = tasks.get(name).body.grade(sample, generation)
    assert isinstance(found, Score)
    return found


@needs_data
def test_all_items_of_the_thirteen_categories_are_there(bfcl: Task) -> None:
    counts = dict.fromkeys(CATEGORIES, 0)
    for sample in bfcl.items:
        counts[sample.target["category"]] += 1
    assert counts == dict(CATEGORIES)
    assert bfcl.data_hash == tasks.get("bfcl-native").data_hash


@needs_data
def test_the_accepted_answers_are_right_but_where_the_reference_rejects_them(bfcl: Task) -> None:
    written = [(s, text) for s in bfcl.items if (text := bfcl.reference(s)) is not None]
    assert len(written) == 3491
    wrong = {s.id for s, text in written if score("bfcl", s, Generation(text)).value != 1.0}
    assert wrong == REJECTED


@needs_data
def test_native_calls_are_right_where_written_ones_are(bfcl: Task) -> None:
    for sample in bfcl.items[:900:7]:
        made = tuple(
            ToolCall(name.replace(".", "_"), json.dumps(first_values(accepted)))
            for answer in sample.target["accepted"]
            for name, accepted in answer.items()
        )
        if sample.target["category"] == "parallel_multiple":
            assert score("bfcl-native", sample, Generation("", calls=made)).value == 1.0, sample.id


def first_values(accepted: dict[str, list[Any]]) -> dict[str, Any]:
    return {key: values[0] for key, values in accepted.items() if values[0] != ""}


@needs_data
def test_functions_are_shown_with_hints_and_offered_as_tools(bfcl: Task) -> None:
    java = next(s for s in bfcl.items if s.id == "simple_java_0")
    system, question = bfcl.body.prompt(java)
    assert "in Java 8 SDK syntax" in system.content
    assert question.content == java.input["turns"][0]["content"]
    request = next(tasks.get("bfcl-native").converse(java))
    assert isinstance(request, Generate)
    (tool,) = request.tools
    assert tool["function"]["name"] == "GeometryPresentation_createPresentation"
    kinds = {p["type"] for p in tool["function"]["parameters"]["properties"].values()}
    assert kinds == {"string"}


@needs_data
def test_the_official_wording_is_read_from_the_installed_package(bfcl: Task) -> None:
    pytest.importorskip("bfcl_eval", reason="needs bfcl-eval, installed with --no-deps")
    (official,) = resolve(["bfcl@official"])
    system = official.body.prompt(bfcl.items[0])[0].content
    assert system != bfcl.body.prompt(bfcl.items[0])[0].content
    assert "[func_name1(params_name1=params_value1" in system
    assert bfcl.items[0].input["functions"][0]["name"] in system


def test_another_variant_is_refused() -> None:
    with pytest.raises(UsageError, match="bfcl@official"):
        resolve(["bfcl@best"])


def test_an_items_own_system_message_follows_ours() -> None:
    turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    system, question = with_system("ours", turns)
    assert (system.role, system.content) == ("system", "ours\n\nbe brief")
    assert question.content == "hi"


def test_javascript_parameters_become_strings_that_tell_their_type() -> None:
    entry = {"type": "array", "items": {"type": "integer"}, "description": "Numbers."}
    document = {"name": "f", "description": "F.", "parameters": {"properties": {"x": entry}}}
    shown = hinted(document, "javascript")["parameters"]["properties"]["x"]
    assert shown["type"] == "string"
    assert "items" not in shown
    assert shown["description"].startswith("Numbers. This is JavaScript array type parameter")
    assert document["parameters"]["properties"]["x"] is entry  # the original is as it was


@pytest.mark.parametrize(
    ("text", "stop", "reason"),
    [
        ("math.add(x=5)", "stop", None),
        ("math.add(x=5)", "length", None),
        ("math.add(x='5')", "stop", "type_error:simple"),
        ("other(x=5)", "stop", "simple_function_checker:wrong_func_name"),
        ("I add 5.", "stop", "ast_decoder:decoder_failed"),
        ("math.add(x=", "length", "truncated"),
        (" \n", "stop", "empty"),
    ],
)
def test_a_failure_says_why(text: str, stop: Any, reason: str | None) -> None:
    found = score("bfcl", item("simple_python", [{"math.add": {"x": [5]}}]), Generation(text, stop))
    assert (found.value, found.reason) == (float(reason is None), reason)


@pytest.mark.parametrize("name", ["bfcl", "bfcl-native"])
@pytest.mark.parametrize("category", ["irrelevance", "live_irrelevance", "live_relevance"])
def test_a_call_is_right_where_one_is_relevant_and_wrong_where_none_is(
    name: str, category: str
) -> None:
    call = Generation("f(y=1)", calls=(ToolCall("f", '{"y": 1}'),))
    silence = Generation("Nothing fits.")
    wanted = category == "live_relevance"
    assert score(name, item(category, []), call).value == float(wanted)
    assert score(name, item(category, []), silence).value == float(not wanted)


def test_in_native_mode_text_is_no_call_and_broken_arguments_are_none() -> None:
    sample = item("simple_python", [{"math.add": {"x": [5]}}])
    right = Generation("", calls=(ToolCall("math_add", '{"x": 5}'),))
    assert score("bfcl-native", sample, right).value == 1.0
    written = Generation('{"name": "math_add", "arguments": {"x": 5}}')
    assert score("bfcl-native", sample, written).value == 0.0
    for arguments in ("{x: 5}", "", "[5]", "[" * 100_000):
        broken = Generation("", calls=(ToolCall("math_add", arguments),))
        assert score("bfcl-native", sample, broken).reason == "ast_decoder:decoder_failed"


def test_ten_thousand_calls_are_too_many_and_no_crash() -> None:
    sample = item("parallel", [{"math.add": {"x": [n]}} for n in range(3)])
    calls = tuple(ToolCall("math_add", f'{{"x": {n}}}') for n in range(10_000))
    written = Generation(", ".join(f"math.add(x={n})" for n in range(10_000)))
    for name, generation in (("bfcl", written), ("bfcl-native", Generation("", calls=calls))):
        assert score(name, sample, generation).reason.endswith("wrong_count")  # type: ignore[union-attr]


@given(st.text(), st.lists(st.tuples(st.text(), st.text())), st.sampled_from(sorted(CATEGORIES)))
def test_every_answer_has_a_score(text: str, calls: list[tuple[str, str]], category: str) -> None:
    if category.startswith("simple_java"):
        pytest.importorskip("tree_sitter_java", reason="needs the extra bfcl")
    sample = item(category, [{"math.add": {"x": [5]}}])
    made = tuple(ToolCall(name, arguments) for name, arguments in calls)
    for name in ("bfcl", "bfcl-native"):
        assert score(name, sample, Generation(text, calls=made)).value in (0.0, 1.0)


def test_figures_weigh_as_v4_does_and_leave_out_what_lacks_a_part() -> None:
    values = {name: [1.0] for name in CATEGORIES} | {"simple_java": [0.0], "live_simple": [0.0] * 3}
    found = figures(values)
    assert found["non_live"] == pytest.approx((2 / 3 + 3) / 4)
    assert found["live"] == 3 / 6
    assert found["irrelevance"] == 1.0
    assert found["overall_v2"] == pytest.approx(((2 / 3 + 4) / 5 + 5 / 8) / 2)
    assert "overall_v3" not in found
    assert "multi_turn" not in found
    whole = figures(values | {name: [0.0] for name in MULTI_TURN})
    assert whole["overall_v3"] == pytest.approx(found["overall_v2"] * 2 / 3)
    assert not any(name.startswith("overall_v4") for name in whole)
    assert "non_live" not in figures({"irrelevance": [1.0]})


def test_a_part_of_the_categories_gives_no_figure_of_the_whole() -> None:
    few = {name: [Score(1.0, detail={"category": name})] for name in ("live_simple", "irrelevance")}
    found = tasks.get("bfcl-native").aggregate(few)
    assert found == {"category/live_simple": 1.0, "category/irrelevance": 1.0}


def test_without_data_the_missing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATERBED_DATA", raising=False)
    with pytest.raises(UsageError, match=r"WATERBED_DATA is not set.*bfcl_v4/BFCL_v4_multiple"):
        questions("multiple")


def test_another_file_of_that_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bfcl_v4").mkdir()
    (tmp_path / "bfcl_v4" / "BFCL_v4_multiple.json").write_text('{"id": "x"}\n')
    monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
    with pytest.raises(DataError, match="sha256"):
        questions("multiple")


def test_the_list_of_suites_says_why_v4_has_no_overall_score(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["list", "suites", "--json"])
    assert not ended.value.code
    (row,) = [r for r in json.loads(capsys.readouterr().out) if r["suite"] == "bfcl"]
    assert "V4's overall, which needs web search and a memory of" in row["about"]["not measures"]
    with pytest.raises(SystemExit):
        main(["list", "suites"])
    assert "leaves out, with the reason" in capsys.readouterr().out

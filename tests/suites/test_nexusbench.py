"""NexusBench's single-turn matching, on small files in its published formats; its data were not seen."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.records import Generate, Generation, Sample, Score, ToolCall
from waterbed.harness.tasks import Task, resolve
from waterbed.suites.nexusbench import BENCHMARKS, tools_of

NVDLIB = '''
"""Two functions, one of them documented for models."""
import os

def searchCVE(cveId=None, limit=None, isVulnerable=None):
    """Search."""

def searchCPE(keywordSearch=None):
    """Search."""

def helper(x):
    return os.getcwd()

searchCVE_json = {"name": "searchCVE", "description": "A" "B", "parameters": {"type": "object"}}
searchCPE_json = {"name": "searchCPE", "description": "C", "parameters": {"type": "object"}}
'''
OTHER = '''
def match_values(selected_values: list = None):
    """Choose."""

match_values_json = {"name": "match_values", "description": "D", "parameters": {}}
'''
ROWS: Mapping[str, list[dict[str, str]]] = {
    "NVDLibraryBenchmark": [
        {"Input": " Find CVE 1. ", "Output": "r = nvdlib.searchCVE(cveId='1', limit=5)"},
        {"Input": "Odd", "Output": "r = nvdlib.searchCVE(cveId='a;b')"},
    ],
    "HallucinationTMIBenchmark": [
        {
            "user_query": "Find user 7, ann@example.com.",
            "original_ground_truth": "find(id=7, email='ann@example.com')",
            "modified_correct_ground_truth": "find(id=7)",
        }
    ],
    "HallucinationTMIBenchmark-20240829-json-tools": [
        {"json_tools": json.dumps([{"name": "find", "description": "", "parameters": {}}])}
    ],
    **{
        BENCHMARKS[name].dataset: [{"Input": "Wet?", "Output": "match_values(['Hot'])"}]
        for name in ("VirusTotal", "ITType0", "ITType1", "TicketTracking")
    },
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All six benchmarks, a row or two each."""
    monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
    own = tmp_path / "nexusbench"
    for dataset, rows in ROWS.items():
        (own / dataset / "data").mkdir(parents=True)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (own / dataset / "data" / "train-00000-of-00001.jsonl").write_text(text)
    (own / "tools").mkdir()
    for benchmark in BENCHMARKS.values():
        if benchmark.module:
            source = NVDLIB if benchmark.module == "nvdlib" else OTHER
            (own / "tools" / f"{benchmark.module}.py").write_text(source)
    return own


def suite(name: str = "nexusbench") -> Task:
    (task,) = resolve([name])
    task.__dict__.pop("items", None)
    return task


def score(task: Task, sample: Sample, text: str = "", *calls: tuple[str, str]) -> Score:
    made = tuple(ToolCall(name, arguments) for name, arguments in calls)
    found = task.body.grade(sample, Generation(text, calls=made))
    assert isinstance(found, Score)
    return found


@pytest.fixture
def cve(folder: Path) -> tuple[Task, Sample]:
    task = suite("nexusbench@NVDLibrary")
    return task, task.items[0]


def test_all_six_benchmarks_are_asked_with_their_tools(folder: Path) -> None:
    task = suite()
    assert {s.target["benchmark"] for s in task.items} == set(BENCHMARKS)
    request = next(task.converse(task.items[0]))
    assert isinstance(request, Generate)
    assert [t["function"]["name"] for t in request.tools] == ["searchCVE", "searchCPE"]
    assert [m.content for m in request.prompt] == ["Find CVE 1."]  # type: ignore[union-attr]
    assert task.body.prompt(task.items[-1])[0].role == "system"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("searchCVE(cveId='1', limit=5)", None),
        ("searchCVE('1', 5)", None),
        ("searchCVE(limit=5, cveId='1', isVulnerable=None); searchCPE()", None),
        ("searchCVE(cveId='1', limit=5.0)", "wrong"),
        ("searchCVE(cveId='1', limit=5, isVulnerable=False)", "wrong"),
        ("searchCPE(keywordSearch='1')", "wrong"),
        ("searchCVE(searchCPE())", "wrong"),
        ("searchCVE(cveId='1', limit=5, key='k')", "unparsed"),
        ("searchCVE(cveId='1', limit=5); and more", "unparsed"),
        ("searchCVE(cveId='1', limit=3 + 2)", "unparsed"),
        (f"searchCVE(cveId='1', limit=0x{'f' * 5000})", "unparsed"),
        ("helper(1)", "unparsed"),
        ("__import__('os').getcwd()", "unparsed"),
        ("I would search.", "unparsed"),
        ("'1'", "unparsed"),
        (" \n", "empty"),
    ],
)
def test_a_written_call_is_right_only_where_every_value_is(
    cve: tuple[Task, Sample], text: str, reason: str | None
) -> None:
    found = score(*cve, text)
    assert (found.value, found.reason) == (float(reason is None), reason)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"limit": 5, "cveId": "1"}', 1.0),
        ('{"limit": 5, "cveId": "1", "isVulnerable": null}', 1.0),
        ('{"limit": "5", "cveId": "1"}', 0.0),
        ('{"limit": 5, "cveId": "1", "more": 1}', 0.0),
        ("[5]", 0.0),
        ("{", 0.0),
        ("[" * 100_000, 0.0),
    ],
)
def test_of_native_calls_the_first_counts(
    cve: tuple[Task, Sample], arguments: str, value: float
) -> None:
    right = ("searchCVE", '{"cveId": "1", "limit": 5}')
    assert score(*cve, "", ("searchCVE", arguments), right).value == value


def test_an_item_whose_own_answer_cannot_be_read_is_unscored(folder: Path) -> None:
    task = suite("nexusbench@NVDLibrary")
    found = score(task, task.items[1], "searchCVE(cveId='a')")
    assert (found.value, found.reason) == (None, "unreadable_gold")


@pytest.mark.parametrize(
    ("text", "calls", "value"),
    [
        ("find(id=7)", (), 1.0),
        ("find(id=8, name='x')", (), 1.0),
        ("find(id=7, email='x')", (), 0.0),
        ("find(7)", (), 0.0),
        ("find(**{'id': 7, 'email': 'x'})", (), 0.0),
        ("find(**{'id': 7})", (), 1.0),
        ("Sorry.", (), 0.0),
        ("", (("find", '{"id": 7}'),), 1.0),
        ("", (("find", '{"id": 7, "email": "x"}'),), 0.0),
        ("", (("find", "7"),), 0.0),
        ("", (), 0.0),
    ],
)
def test_what_the_tool_does_not_take_must_be_left_out(
    folder: Path, text: str, calls: tuple[tuple[str, str], ...], value: float
) -> None:
    task = suite("nexusbench@TMIHallucination")
    assert score(task, task.items[0], text, *calls).value == value


def test_benchmarks_weigh_the_same_and_a_part_has_no_mean(folder: Path) -> None:
    task = suite()
    scores = {s.id: [score(task, s, task.body.reference(s))] for s in task.items}
    scores.pop("NVDLibrary/1")  # unscored
    assert {s[0].value for s in scores.values()} == {1.0}
    scores["NVDLibrary/0"] *= 3
    scores["ITType0/9"] = [score(task, task.items[0], "no")]
    scores["ITType0/9"][0].detail["benchmark"] = "ITType0"  # type: ignore[index]
    found = task.aggregate(scores)
    assert found["benchmark/ITType0"] == 0.5
    assert found["mean"] == pytest.approx(5.5 / 6)
    assert "mean" not in task.aggregate({"NVDLibrary/0": scores["NVDLibrary/0"]})


def test_a_missing_file_is_named_with_its_source_and_licence(folder: Path) -> None:
    (folder / "tools" / "nvdlib.py").rename(folder / "elsewhere.py")
    with pytest.raises(UsageError, match=r"nvdlib\.py' is missing; put nexusbench/tools of github"):
        _ = suite("nexusbench@NVDLibrary").items
    (folder / "elsewhere.py").rename(folder / "tools" / "nvdlib.py")
    (folder / "NVDLibraryBenchmark").rename(folder / "elsewhere")
    with pytest.raises(UsageError, match=r"Nexusflow/NVDLibraryBenchmark \(code Apache-2\.0; the"):
        _ = suite("nexusbench@NVDLibrary").items
    with pytest.raises(UsageError, match="it has NVDLibrary, VirusTotal"):
        resolve(["nexusbench@Climate"])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(:\n", "not readable Python"),
        ("def f(x=g()):\n    pass\nf_json = {}\n", "a default is no literal"),
        ("def f(x={[]: 1}):\n    pass\nf_json = {}\n", "a default is no literal"),
        ("x = 1\n", "no function with a JSON document"),
    ],
)
def test_a_tool_file_of_another_form_is_refused(folder: Path, source: str, said: str) -> None:
    (folder / "tools" / "odd.py").write_text(source)
    with pytest.raises(DataError, match=said):
        tools_of("odd")


@pytest.mark.parametrize(
    ("dataset", "row", "said"),
    [
        ("NVDLibraryBenchmark", {"Input": "x"}, "row 1 lacks the text 'Output'"),
        ("HallucinationTMIBenchmark", {"user_query": "x"}, "row 1 lacks the text 'original_ground"),
        (
            "HallucinationTMIBenchmark",
            {**ROWS["HallucinationTMIBenchmark"][0], "original_ground_truth": "find(7)"},
            r"row 1: a ground truth is no call with named arguments \('find\(7\)', .*; get it again",
        ),
        (
            "HallucinationTMIBenchmark-20240829-json-tools",
            {"json_tools": "{"},
            "'json_tools' is not JSON",
        ),
        (
            "HallucinationTMIBenchmark-20240829-json-tools",
            {"json_tools": "[7]"},
            "no list of documents",
        ),
    ],
)
def test_a_row_of_another_form_is_named(
    folder: Path, dataset: str, row: dict[str, Any], said: str
) -> None:
    (folder / dataset / "data" / "train-00000-of-00001.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=said):
        _ = suite().items


@pytest.mark.parametrize(
    "text",
    ["(" * 200_000, "searchCVE(" * 5_000, "searchCVE();" * 10_000, "[" * 1_000_001, "\ud800;" * 9],
)
def test_hostile_answers_are_read_in_bounded_time(cve: tuple[Task, Sample], text: str) -> None:
    began = time.process_time()
    assert score(*cve, text).value == 0.0
    other = Sample("i", {}, {"benchmark": "TMIHallucination", "leave_out": ["x"]})
    assert score(cve[0], other, text * 10).value == 0.0
    assert time.process_time() - began < 3


@given(st.text(alphabet="searchCVE(cveId='1', limit=5);[]{}*\n\\") | st.text())
def test_any_text_has_a_score(text: str) -> None:
    sample = Sample("i", {}, {"benchmark": "TMIHallucination", "leave_out": ["limit"]})
    assert score(suite(), sample, text).value in (0.0, 1.0)

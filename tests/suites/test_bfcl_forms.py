"""BFCL's format sensitivity asks and reads in 26 forms as the installed bfcl-eval does."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from official_bfcl import Official

from waterbed.harness.errors import UsageError
from waterbed.harness.records import Generation, Sample, Score
from waterbed.harness.tasks import Task, tasks
from waterbed.suites import bfcl
from waterbed.suites.bfcl_decode import NotCalls
from waterbed.suites.bfcl_form_calls import calls_in, written
from waterbed.suites.bfcl_format_sensitivity import spread
from waterbed.suites.bfcl_forms import CLASSIC, FORMS, Form, documented
from waterbed.suites.bfcl_prompts import official_system

needs_data = pytest.mark.skipif(
    not (Path(os.environ.get("WATERBED_DATA", "")) / "bfcl_v4").is_dir(),
    reason="WATERBED_DATA has no bfcl_v4/",
)
BY_NAME = {form.name: form for form in FORMS}
FUNCTION = {
    "name": "geo.find",
    "description": "Find.",
    "parameters": {
        "type": "dict",
        "properties": {
            "kind": {"type": "string", "description": "What.", "enum": ["a", "b"]},
            "at": {
                "type": "dict",
                "description": "Where.",
                "properties": {"x": {"type": "float"}},
                "required": [],
            },
            "ids": {"type": "array", "items": {"type": "integer"}, "default": "1,2"},
        },
        "required": ["kind"],
    },
}


@pytest.fixture(scope="module")
def official() -> Official:
    pytest.importorskip("bfcl_eval", reason="needs bfcl-eval, installed with --no-deps")
    return Official()


@pytest.fixture(scope="module")
def task(official: Official) -> Task:
    found = tasks.get("bfcl-format-sensitivity")
    try:
        assert found.items
    except UsageError as error:
        pytest.skip(str(error))
    return found


def graded(task: Task, sample: Sample, text: str) -> Score:
    found = task.body.grade(sample, Generation(text))
    assert isinstance(found, Score)
    return found


def test_two_hundred_items_are_asked_in_every_form(task: Task, official: Official) -> None:
    assert [form.name for form in FORMS] == official.forms()
    assert len(task.items) == 200 * 26
    assert len({s.cluster for s in task.items}) == 200
    first = task.items[0]
    assert first.id == f"format_sensitivity_0:{FORMS[0].name}:simple_python_19"


@needs_data
def test_every_form_is_asked_for_in_the_official_words(official: Official) -> None:
    for sample in list(bfcl.samples())[::50]:
        functions = bfcl.shown_functions(sample)
        for form in FORMS:
            assert official_system(functions, form) == official.system(functions, form), form.name


def test_the_accepted_calls_are_right_in_every_form_but_where_the_reference_stumbles(
    task: Task, official: Official
) -> None:
    """A list of dicts inside of an argument ends the JSON there, so one item cannot be right in it."""
    wrong = set()
    for sample in task.items:
        form, text = BY_NAME[sample.target["form"]], task.body.reference(sample)
        assert calls_in(text, form) == official.calls(text, form)
        if graded(task, sample, text).value != 1.0:
            wrong.add((sample.cluster, form.returns))
    assert wrong == {("simple_python_96", "json")}


PIECES = (
    *("}]", "[{", "null", '{"a":[{"b":1}]}', "'", '"', "\n", ",", "<", ">", "/", "=", "(", ")"),
    *('<function name="f">', "</function>", "<TOOLCALL>", "</TOOLCALL>", "</functions>", "-1"),
)


def damaged(text: str, draw: random.Random) -> str:
    """The text with one to three places cut out, overwritten or added."""
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(text) + 1)
        text = text[:at] + draw.choice((*PIECES, "")) + text[at + draw.choice((0, 0, 1, 5, 20)) :]
    return text


def test_damaged_answers_are_read_as_the_reference_reads_them(
    task: Task, official: Official
) -> None:
    draw, read = random.Random(0), 0
    for sample in task.items[::3]:
        form, text = BY_NAME[sample.target["form"]], task.body.reference(sample)
        for odd in (damaged(text, draw), damaged(text, draw), f"So: {text} That is it."):
            try:
                found: object = calls_in(odd, form)
            except NotCalls:
                found = None
            assert repr(found) == repr(official.calls(odd, form)), (form.name, odd)
            read += found is not None
    assert read > 1000


def test_documents_are_written_in_xml_and_in_python() -> None:
    assert documented([FUNCTION], "xml").splitlines()[3:9] == [
        '    <param name="kind" type="string" required="true">',
        "      <desc>What. Enum values: ['a', 'b'].</desc>",
        "    </param>",
        '    <param name="at" type="dict" required="false">',
        "      <desc>Where.</desc>",
        "      <params>",
    ]
    assert 'type="array[integer]" required="false" default="\'12\'">' in documented(
        [FUNCTION], "xml"
    )
    assert documented([FUNCTION], "python").splitlines()[4:9] == [
        "    Args:",
        "        kind (str): What. Enum values: ['a', 'b'].",
        "        at (dict): Where.",
        "            x (float): ",
        "        ids (list[int], default='1,2'): ",
    ]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_what_is_written_is_read_back(form: Form) -> None:
    calls = [{"a.b": {"x": 1, "y": "<&'\"> ", "z": [1.5, True]}}, {"c": {}}]
    found = calls_in(written(calls, form), form)
    if form.returns == "concise_xml":  # blanks around a value are dropped
        found[0]["a.b"]["y"] += " "
    assert found == calls


@pytest.mark.parametrize(
    ("text", "form", "calls"),
    [
        ("f(a=1)", CLASSIC, [{"f": {"a": 1}}]),
        ("f(a=1)", Form(tagged=True), None),
        ("x <TOOLCALL> [f(a=1)] </TOOLCALL> y <TOOLCALL>", Form(tagged=True), [{"f": {"a": 1}}]),
        ("none", Form(returns="json"), []),
        ('[{"function": "f"}]', Form(returns="json"), None),
        ('[{"function": "f", "parameters": [1]}]', Form(returns="json"), None),
        ("[1]", Form(returns="json"), []),
        ("<functions></functions>", Form(returns="concise_xml"), []),
        ("<functions><function/></functions>", Form(returns="concise_xml"), None),
        ("<functions><a></functions>", Form(returns="verbose_xml"), None),
    ],
)
def test_odd_answers(text: str, form: Form, calls: object) -> None:
    try:
        found: object = calls_in(text, form)
    except NotCalls:
        found = None
    assert found == calls


BOMB = (
    "<!DOCTYPE a [" + "".join(f'<!ENTITY e{n} "&e{n - 1};&e{n - 1};">' for n in range(1, 40)) + "]>"
)
HOSTILE = (
    "[{" * 200_000,
    "[{}" * 100_000 + "}]",
    "[" * 1_000_000,
    '[{"a":' * 100_000 + "1" + "}]" * 100_000,
    "<functions>" + "<a>" * 100_000 + "</functions>",
    "<functions>" * 90_000,
    f"{BOMB}<functions>&e39;</functions>",
    f"<functions>{BOMB}&e39;</functions>",
    '<functions><function name="f"><param name="x" type="array">' + "[" * 90_000 + "</param>"
    "</function></functions>",
    '<functions><function name="f"><param name="x" type="integer">' + "9" * 90_000 + "</param>"
    "</function></functions>",
    "<TOOLCALL>" * 99_999,
    "\ud800<functions>\0</functions>",
    "f(a=1), " * 10_000,
    "x" * 2_000_000,
)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_answers_are_read_in_bounded_time(text: str) -> None:
    for form in (f for f in FORMS if f.documents == "json"):
        began = time.process_time()
        try:
            calls_in(f"<TOOLCALL>{text}</TOOLCALL>" if form.tagged else text, form)
        except NotCalls:
            pass
        assert time.process_time() - began < 3, form.name


@given(st.text() | st.text(alphabet='[{"a":1}]<>/functios '), st.sampled_from(FORMS))
def test_any_text_is_calls_or_is_not(text: str, form: Form) -> None:
    try:
        found = calls_in(f"<functions>{text}</functions>", form)
    except NotCalls:
        return
    assert all(isinstance(arguments, dict) for call in found for arguments in call.values())


def test_the_spread_needs_all_forms() -> None:
    assert spread([0.5]) == {}
    assert spread([0.5, 1.0, 0.75]) == {"max_delta": 0.5, "standard_deviation": 0.25}
    body = tasks.get("bfcl-format-sensitivity").body
    scores = {form.name: [Score(1.0, detail={"form": form.name})] for form in FORMS}
    found = body.aggregate(scores)
    assert (found["max_delta"], found["standard_deviation"]) == (0.0, 0.0)
    scores.pop(CLASSIC.name)
    assert "max_delta" not in body.aggregate(scores)

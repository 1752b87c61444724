"""Calls are read in the format that the chat template teaches, and in no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterbed import evaluate
from waterbed.harness.backends.base import Ticket
from waterbed.harness.backends.stopping import Speech
from waterbed.harness.backends.tool_calls import CallFormat, call_format
from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import UsageError
from waterbed.harness.records import Generate, GenerationSettings, ToolCall, user

TEMPLATES = {
    "hermes": "{% if tools %}... return <tool_call>{...}</tool_call>{% endif %}",
    "mistral": "[AVAILABLE_TOOLS]{{ tools }}[/AVAILABLE_TOOLS] [TOOL_CALLS]",
    "mistral-named": "{{ tools }}[TOOL_CALLS]name[ARGS]{}",
    "llama3": "{{ tools }} <|python_tag|>",
    "marked": "{{ tools }}<|call|>",
    "json": "{#- calls: json -#}{{ tools }}",
}
ADD = '{"name": "add", "arguments": {"x": 1}}'
SUM = '{"name": "add", "parameters": {"x": 1}}'
WANTED = ToolCall("add", '{"x": 1}', "call00000")
TOOL = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {}, "b": {}}}},
}


def named(name: str) -> CallFormat:
    found = call_format(TEMPLATES[name])
    assert found is not None
    assert found.name == name
    return found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hermes", f"<tool_call>\n{ADD}\n</tool_call>"),
        ("hermes", f"<tool_call>{ADD}"),
        ("mistral", f"[TOOL_CALLS] [{ADD}]"),
        ("mistral-named", '[TOOL_CALLS]add[ARGS]{"x": 1}'),
        ("mistral-named", '[TOOL_CALLS]add[CALL_ID]1234[ARGS]{"x": 1}'),
        ("llama3", f"<|python_tag|>{SUM}"),
        ("llama3", f" {SUM}\n"),
        ("marked", f"<|call|>{ADD}"),
        ("json", ADD),
        ("json", f"[{ADD}]"),
    ],
)
def test_a_call_is_read_in_its_own_format(name: str, text: str) -> None:
    assert named(name).read(text) == ("", (WANTED,))


@pytest.mark.parametrize(
    ("name", "text", "rest"),
    [
        ("hermes", f"Well.<tool_call>{ADD}</tool_call><tool_call>{ADD}</tool_call>", "Well."),
        ("mistral", f"Well. [TOOL_CALLS][{ADD}, {ADD}]", "Well."),
        (
            "mistral-named",
            'Well.[TOOL_CALLS]add[ARGS]{"x": 1}[TOOL_CALLS]add[ARGS]{"x": 1}',
            "Well.",
        ),
        ("llama3", f"<|python_tag|>{SUM}; {SUM}", ""),
        ("marked", f"Well.<|call|>{ADD}<|call|>{ADD}", "Well."),
    ],
)
def test_several_calls_have_an_id_each_and_other_text_stays(
    name: str, text: str, rest: str
) -> None:
    said, calls = named(name).read(text)
    assert said == rest
    assert [(c.name, c.id) for c in calls] == [("add", "call00000"), ("add", "call00001")]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "No tool fits.",
        "<tool_call>add(x=1)</tool_call>",
        "[TOOL_CALLS] add",
        "[TOOL_CALLS]add[ARGS]{x",
        "<|python_tag|>print(1)",
        "<|call|>{",
        '{"name": 1, "arguments": {}, "parameters": {}}',
        '{"name": "add"}',
        "[" * 100_000,
        "<tool_call>" + '{"a":' * 50_000,
    ],
)
def test_what_is_no_call_stays_text(name: str, text: str) -> None:
    assert named(name).read(text) == (text, ())


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_call_in_another_format_stays_text(name: str) -> None:
    others = {"hermes": f"<|call|>{ADD}", "json": f"<tool_call>{ADD}</tool_call>"}
    text = others.get(name, f"<tool_call>{ADD}</tool_call>")
    assert named(name).read(text) == (text, ())


@pytest.mark.parametrize(
    "template",
    [
        None,
        "",
        "{{ messages }}",
        "<tool_call> without the variable",
        "{{ tools }} in a format of its own",
        "{{ tools }}<tool_call><function=f></tool_call>",
        "{{ tools }}<tool_call> and [TOOL_CALLS]",
    ],
)
def test_an_unknown_format_is_none(template: str | None) -> None:
    assert call_format(template) is None


def test_of_several_templates_the_one_for_tools_counts() -> None:
    found = call_format({"default": "{{ messages }}", "tool_use": TEMPLATES["hermes"]})
    assert found is not None
    assert found.name == "hermes"


@given(
    st.text(alphabet='<>|/_toolcamgsARGS[]{}": ,;1\\') | st.text(),
    st.sampled_from(sorted(TEMPLATES)),
)
def test_no_answer_breaks_the_reading(text: str, name: str) -> None:
    for marked in (text, *(f"{mark}{text}" for mark in named(name).marks)):
        _, calls = named(name).read(marked)
        assert all(call.name is not None for call in calls)


def test_ten_thousand_calls_are_read() -> None:
    _, calls = named("json").read("[" + ", ".join([ADD] * 10_000) + "]")
    assert len({call.id for call in calls}) == 10_000


def test_a_template_without_a_known_format_is_refused_in_one_sentence(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    folder = shutil.copytree(pocket_base.path, tmp_path / "model")
    file = folder / "chat_template.jinja"
    file.write_text(file.read_text().replace("calls: json", "no word on calls"))
    with pytest.raises(UsageError, match="teaches no known format of tool calls"):
        evaluate(folder, ["pocket/tools-native"], tmp_path / "run", limit=2)


def test_special_tokens_that_mark_calls_are_read_only_where_tools_are_offered(
    pocket_base: Checkpoint,
) -> None:
    backend = TransformersBackend(pocket_base, batch_size=4, threads=1)
    try:
        backend.caller.format = CallFormat("loud", lambda text: (text, ()), ("<|end|>",))
        backend.caller.marked = Speech(backend.loaded.tokenizer, ("<|end|>",))
        settings = GenerationSettings(max_tokens=4)
        ids = backend.prompts.encode(["<|end|>"], chat=True)[0]
        with_tools, without = (
            Ticket(Generate(user("x"), tools=tools), "x", settings, 0, "t", "s", 0, 0)
            for tools in ((TOOL,), ())
        )
        assert backend.caller.speech(with_tools.request).text(ids) == "<|end|>"
        assert backend.caller.speech(without.request).text(ids) == ""
    finally:
        backend.close()


def test_the_pocket_model_calls_natively_as_it_writes(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    """Both tasks ask in the same words, so the same items must be right."""
    names = ["pocket/tools", "pocket/tools-native"]
    options = {"batch_size": 16, "threads": 1}
    run = evaluate(pocket_base.path, names, tmp_path, limit=60, options=options, cache=False)
    values = {n: {} for n in names}
    for row in run.scores().to_dict("records"):
        values[row["task"]][row["sample_id"]] = row["value"]
    assert values[names[0]] == values[names[1]]
    assert 0.2 < sum(values[names[1]].values()) / 60 < 1.0
    told = run.generations()
    native = told[told["task"] == names[1]]
    calls = [json.loads(c) for c in native["calls"].dropna()]
    assert len(calls) > 30
    assert all(call[0]["function"]["name"] for call in calls)

"""ToolSandbox's conversations, on small files in its published format; its own files were not at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import small_phone

from waterbed import FakeBackend
from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.records import Fault, Generate, Generation, Score, ToolCall
from waterbed.harness.runner import Runner, TaskPlan
from waterbed.harness.tasks import Task, resolve
from waterbed.suites.toolsandbox.scenarios import deterministic_id
from waterbed.suites.toolsandbox.tasks import MESSAGES

Answer = Callable[[str], "str | Generation | Fault"]


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
    return small_phone.write_phone(tmp_path)


def suite(names: str = "") -> Task:
    (task,) = resolve([f"toolsandbox@{names}" if names else "toolsandbox"])
    for cached in ("body", "items"):
        task.__dict__.pop(cached, None)
    return task


def played(name: str, agent: Answer, user: Answer | None = None) -> Score:
    task = suite(name)
    ends = FakeBackend(user or (lambda prompt: Generation("", calls=(call("end_conversation"),))))
    outcome = Runner({"candidate": FakeBackend(agent), "user": ends}).run(
        [TaskPlan(task, task.items)]
    )
    (score,) = outcome.scores.values()
    return score


def call(tool: str, /, **given: object) -> ToolCall:
    return ToolCall(tool, json.dumps(given))


def script(*turns: Generation | ToolCall | str) -> Answer:
    """An agent that gives these turns, and then says nothing."""
    left = list(turns)

    def answer(prompt: str) -> Generation:
        turn = left.pop(0) if left else ""
        if isinstance(turn, ToolCall):
            return Generation("", calls=(turn,))
        return turn if isinstance(turn, Generation) else Generation(turn)

    return answer


def test_covered_scenarios_are_played_and_the_others_left_out(phone: Path) -> None:
    assert [s.id for s in suite().items] == [
        "wifi_off",
        "tell_wifi",
        "wifi_on_at_low_battery",
        "add_cy",
        "remove_bo",
        "leave_wifi_alone",
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("find_bo", "it needs the tool search_contacts"),
        ("dated", r"`datetime\.datetime\.now\(\)` is not read"),
        ("reminded", "it constrains the database REMINDER"),
        ("taken_out_of_a_trace", "`tool_trace_dependant_similarity` is not read"),
        ("wifi_off,nothing", "'nothing' cannot be played here: there is no such scenario"),
    ],
)
def test_a_scenario_that_is_not_covered_is_refused_by_name(
    phone: Path, name: str, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        _ = suite(name).items


def test_doing_what_is_asked_and_saying_so_is_everything(phone: Path) -> None:
    score = played("wifi_off", script(call("set_wifi_status", on=False), "Wifi is turned off"))
    assert (score.value, score.reason) == (1.0, None)
    assert score.detail["milestones"] == {"0": 1.0, "1": 1.0}


def test_saying_so_without_doing_it_is_half(phone: Path) -> None:
    assert played("wifi_off", script("Wifi is turned off")).value == 0.5


def test_other_words_count_by_what_they_share(phone: Path) -> None:
    """Two of three words in order, of four wanted: F = 4/7, the cube root with both equal roles."""
    score = played("wifi_off", script(call("set_wifi_status", on=False), "wifi went off"))
    assert score.value == pytest.approx((1 + (4 / 7) ** (1 / 3)) / 2)


def test_a_change_that_nobody_asked_for_breaks_a_guardrail(phone: Path) -> None:
    """The battery is saved between the wanted call and the wanted words."""
    agent = script(
        call("get_wifi_status"), call("set_low_battery_mode_status", on=True), "Wifi is on"
    )
    source = small_phone.SCENARIOS.replace(
        "tool_allow_list=['get_wifi_status']",
        "tool_allow_list=['get_wifi_status', 'set_low_battery_mode_status']",
    )
    listed = f"def get_extensions(base_scenarios):\n    return [{source}]\n"
    (phone / "scenarios" / "single_tool_call_scenarios.py").write_text(listed)
    assert played("tell_wifi", agent).value == 0.5
    assert played("tell_wifi", script(call("get_wifi_status"), "Wifi is on")).value == 1.0


def test_a_tool_that_refuses_leaves_no_trace_and_says_why(phone: Path) -> None:
    prompts: list[str] = []
    right = script(
        call("set_wifi_status", on=True),
        call("set_low_battery_mode_status", on=False),
        call("set_wifi_status", on=True),
        "Done",
    )

    def agent(prompt: str) -> str | Generation | Fault:
        prompts.append(prompt)
        return right(prompt)

    assert played("wifi_on_at_low_battery", agent).value == 1.0
    seen = [m["content"] for m in json.loads(prompts[-1])["messages"] if m["role"] == "tool"]
    assert seen == ["PermissionError: wifi stays off in low battery mode", "None", "None"]


def test_contacts_are_added_and_removed(phone: Path) -> None:
    added = call("add_contact", name="Cy", phone_number="+3000")
    assert played("add_cy", script(added)).value == 1.0
    assert played("add_cy", script(added, added)).value == 1.0, "the best message counts"
    other = call("add_contact", name="Cyd", phone_number="+3000")
    assert played("add_cy", script(other)).value == 0.0
    removed = call("remove_contact", person_id=deterministic_id("Bo"))
    assert played("remove_bo", script(removed)).value == 1.0
    wrong = call("remove_contact", person_id=deterministic_id("Ann"))
    assert played("remove_bo", script(wrong)).value == 0.0


def test_a_minefield_nullifies_everything(phone: Path) -> None:
    assert played("leave_wifi_alone", script("I cannot.")).value == 1.0
    score = played("leave_wifi_alone", script(call("set_wifi_status", on=False)))
    assert (score.value, score.reason) == (0.0, "minefield")


def test_the_agent_and_the_user_see_what_they_should(phone: Path) -> None:
    task = suite("wifi_off")
    conversation = task.converse(task.items[0])
    first = next(conversation)
    assert isinstance(first, Generate) and isinstance(first.prompt, tuple)
    assert [m.content for m in first.prompt] == ["Ask first.", "Please wifi_off"]
    (tool,) = first.tools
    assert tool["function"] == {
        "name": "set_wifi_status",
        "description": "Do set_wifi_status",
        "parameters": {
            "type": "object",
            "properties": {"on": {"type": "boolean", "description": "Whether to switch it on"}},
            "required": ["on"],
        },
    }
    second = conversation.send(Generation("Which one?"))
    assert isinstance(second, Generate) and isinstance(second.prompt, tuple)
    assert second.role == "user"
    assert [m.role for m in second.prompt] == ["system", "assistant", "user"]
    assert second.prompt[0].content == "You are a caller.\nYour wish: wifi_off"
    assert [t["function"]["name"] for t in second.tools] == ["end_conversation"]
    third = conversation.send(Generation("The wifi."))
    assert isinstance(third, Generate) and isinstance(third.prompt, tuple)
    assert third.prompt[-1].content == "The wifi."
    conversation.close()


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ("", "wrong"),
        (ToolCall("rm_rf", "{}"), "unknown_tool"),
        (ToolCall("get_wifi_status", "{}"), "unknown_tool"),
        (ToolCall("set_wifi_status", "{on: no}"), "unparsed"),
        (ToolCall("set_wifi_status", "[" * 100_000), "unparsed"),
        (ToolCall("set_wifi_status", '{"on": "yes"}'), "wrong"),
        (ToolCall("set_wifi_status", '{"on": true, "state": {}}'), "wrong"),
        (ToolCall("set_wifi_status", "[1]"), "wrong"),
        (ToolCall("set_wifi_status", '{"\\ud800": "\ud800"}'), "wrong"),
        (
            Generation("", calls=(ToolCall("set_wifi_status", '{"on": true}', "\ud800"),) * 10_000),
            "wrong",
        ),
        ("\ud800" + "wifi " * 20_000, "wrong"),
    ],
)
def test_whatever_the_agent_does_the_conversation_ends_and_is_scored(
    phone: Path, turn: Generation | ToolCall | str, reason: str
) -> None:
    turns = 0

    def agent(prompt: str) -> str | Generation | Fault:
        nonlocal turns
        turns += 1
        prompt.encode()  # a model can be asked this
        return script(turn)(prompt)

    score = played("wifi_off", agent, lambda prompt: "And now?")
    assert score.value is not None and score.value < 0.6
    assert score.reason == reason
    assert turns <= MESSAGES


def test_a_user_that_fails_leaves_the_scenario_unscored(phone: Path) -> None:
    score = played("wifi_off", script("Which?"), lambda prompt: Fault("timeout", "no answer"))
    assert (score.value, score.reason) == (None, "timeout")


def test_missing_and_odd_files_are_named(phone: Path) -> None:
    (phone / "tools" / "contact.py").write_text("x = 1\n")
    with pytest.raises(DataError, match="define no add_contact; get tool_sandbox of github"):
        _ = suite("wifi_off").items
    base = phone / "scenarios" / "base_scenarios.py"
    base.write_text(base.read_text().replace('"Ann"', "7 + 'Ann'"))
    with pytest.raises(
        DataError, match=r"not of the known form \(unsupported operand.*; get tool_"
    ):
        _ = suite("wifi_off").items
    (phone / "scenarios" / "user_simulator_few_shot_examples.py").unlink()
    with pytest.raises(UsageError, match=r"examples\.py' is missing; put .*Apple's sample code"):
        _ = suite().items


def test_scenarios_that_are_no_python_are_named(phone: Path) -> None:
    (phone / "scenarios" / "single_tool_call_scenarios.py").write_text("def f(:\n")
    with pytest.raises(DataError, match="not readable Python"):
        _ = suite().items


@pytest.mark.parametrize(
    ("row", "more"),
    [
        ("{'wifi': 1 + 'a'}", ""),
        ("{['wifi']: True}", ""),
        ("{'wifi': " + "1 + " * 2000 + "1}", ""),
        ("['wifi']", ""),
        ("{'wifi': True}", "milestone_edge_list=[(1,)],"),
    ],
)
def test_a_scenario_of_another_form_is_refused_by_name(phone: Path, row: str, more: str) -> None:
    odd = small_phone.scenario(
        "odd",
        ["set_wifi_status"],
        small_phone.state("SETTING", "snapshot_similarity", row),
        more=more,
    )
    (phone / "scenarios" / "single_tool_call_scenarios.py").write_text(f"listed = [{odd}]\n")
    with pytest.raises(
        UsageError, match="'odd' cannot be played here: it is not of the known form"
    ):
        _ = suite("odd").items

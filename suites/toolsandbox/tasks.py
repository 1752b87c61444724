"""ToolSandbox (Lu et al. 2024, arXiv:2408.04682): an agent works on a simulated phone for a simulated user.

A part of it: the scenarios, without their augmented copies, that need no more than settings and contacts
(world.py) and no constraint that takes values out of traces. Who plays the user is a model of
its own, the role `user`, told by the scenario; it ends the conversation with the tool end_conversation,
or by writing that name. A conversation has at most 30 messages. Its score is the mean similarity of its
milestones, 0 where a minefield has any. `toolsandbox@NAME,NAME` plays these scenarios and refuses, with
the reason, one that is not covered.

Read from WATERBED_DATA/toolsandbox, a copy of the folder tool_sandbox of apple/ToolSandbox @ 165848b9
(Apple's sample code licence; read it before use), as data and never run. Written for that published
format and tried on small files in it: its own files were not at hand, and no result of it was compared.
Calls that are made at once are carried out in their order; the reference tries every order. The user is
shown no examples of conversations. A call of an unknown tool, or with arguments that are no JSON, ends
the conversation with 0, as there.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from ...harness.errors import UsageError
from ...harness.records import (
    Generate,
    Generation,
    GenerationSettings,
    Message,
    Sample,
    Score,
    ToolCall,
    clean_text,
)
from ...harness.tasks import Card, Metric, task
from ..function_calls import clean_call
from .milestones import TooManyPlacements, Trajectory, Uncovered
from .scenarios import Scenario, expressions, name_of, read_scenario
from .similarity import Row
from .sources import COMMIT, END, Sources, module, scenario_files
from .world import TOOLS, State, beginning

#: Messages of a conversation after its beginning.
MESSAGES = 30
#: The simulated user varies between conversations, as gpt-4o at its default did.
USER = GenerationSettings(max_tokens=512, temperature=1.0)


class Phone:
    """One conversation's messages and databases."""

    def __init__(self, scenario: Scenario, state: State) -> None:
        self.trajectory, self.state = Trajectory(), state
        self.tools = scenario.tools
        self.add("USER", "AGENT", scenario.opening)

    def add(self, sender: str, recipient: str, content: str, trace: Row | None = None) -> None:
        """Add a message, with the databases as they are now."""
        row = {"sender": sender, "recipient": recipient, "content": content}
        traces = [trace] if trace else None
        self.trajectory.messages.append({**row, "tool_trace": traces, "conversation_active": True})
        self.trajectory.states.append(self.state)

    def full(self) -> bool:
        """Whether no message may follow."""
        return len(self.trajectory.messages) > MESSAGES

    def call(self, made: ToolCall) -> str:
        """Carry out a call and give what the agent sees.

        Raises:
            UnknownCall: no such tool, or the arguments are not JSON.
        """
        try:
            given = json.loads(made.arguments or "{}")
        except (ValueError, RecursionError):
            raise UnknownCall("unparsed") from None
        if made.name not in self.tools:
            raise UnknownCall("unknown_tool")
        self.add("AGENT", "EXECUTION_ENVIRONMENT", f"{made.name}(**{made.arguments})")
        try:
            self.state, result = TOOLS[made.name](self.state, **given)
        except Exception as error:  # arguments of any type reach the tools
            seen, trace = f"{type(error).__name__}: {str(error)[:200]}", None
        else:
            seen, trace = (
                repr(result),
                {"tool_name": made.name, "arguments": given, "result": result},
            )
        self.add("EXECUTION_ENVIRONMENT", "AGENT", seen, trace)
        return seen


class UnknownCall(Exception):
    """A call at which ToolSandbox itself gives up; names the reason."""


@task(
    "toolsandbox",
    domain="tools",
    metrics=(Metric("similarity"),),
    settings=GenerationSettings(max_tokens=1024),
    roles=("user",),
    card=Card(
        measures="Settings and contacts of a simulated phone, by milestones over the whole conversation.",
        not_measures="Scenarios with other tools, with extractors, with added or scrambled tools: most of "
        "ToolSandbox's 1,032, so no published figure compares",
        source="github.com/apple/ToolSandbox",
        licence="Apple sample code licence (personal, non-exclusive; read it before use)",
        revision=COMMIT[:8],
        verified="unverified: data not seen",
    ),
)
class ToolSandbox:
    """The scenarios of ToolSandbox that are covered here."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = names
        self.sources = Sources()

    @classmethod
    def variant(cls, text: str) -> Mapping[str, Any]:
        """What `toolsandbox@wifi_off,cellular_off` sets."""
        return {"names": tuple(name.strip() for name in text.split(","))}

    def samples(self) -> Iterator[Sample]:
        """One sample a covered scenario; its id is the scenario's name.

        Raises:
            UsageError: a file is missing, or a named scenario is not covered or not there.
            DataError: a file is of another form.
        """
        self.sources.check()
        left = dict.fromkeys(self.names, "there is no such scenario")
        for file in scenario_files():
            for node in expressions(module(file)):
                name = name_of(node)
                if self.names and name not in self.names:
                    continue
                try:
                    scenario = read_scenario(node, self.sources.texts)
                except Uncovered as error:
                    left[name] = str(error)
                    continue
                left.pop(name, None)
                shown = {"task": scenario.task, "opening": scenario.opening}
                yield Sample(name, shown, {"scenario": ast.unparse(node)})
        for name in self.names:
            if name in left:
                raise UsageError(
                    f"ToolSandbox's scenario '{name}' cannot be played here: {left[name]}."
                )

    def converse(self, sample: Sample) -> Generator[Generate, Generation, Score]:
        source = ast.parse(sample.target["scenario"], mode="eval").body
        scenario = read_scenario(cast("ast.Call", source), self.sources.texts)
        phone = Phone(scenario, beginning(scenario.base, self.sources.contacts))
        documents = self.sources.documents
        agent = [Message("system", self.sources.told), Message("user", scenario.opening)]
        person = [Message("system", scenario.task), Message("assistant", scenario.opening)]
        offered = tuple(documents[name] for name in scenario.tools)
        while not phone.full():
            turn = yield Generate(tuple(agent), tools=offered)
            if turn.calls:
                try:
                    agent += _answered(phone, turn.calls[:MESSAGES])
                except UnknownCall as error:
                    return Score(0.0, str(error), detail=_detail(phone))
                continue
            said = clean_text(turn.text)
            agent.append(Message("assistant", said))
            person.append(Message("user", said))
            phone.add("AGENT", "USER", said)
            if phone.full():
                break
            reply = yield Generate(tuple(person), USER, role="user", tools=(documents[END],))
            if reply.calls or END in reply.text:
                break
            answer = clean_text(reply.text)
            person.append(Message("assistant", answer))
            agent.append(Message("user", answer))
            phone.add("USER", "AGENT", answer)
        return judged(scenario, phone)


def _answered(phone: Phone, calls: Sequence[ToolCall]) -> list[Message]:
    """The agent's turn with its calls, and what each answered."""
    made, seen = [], []
    for number, call in enumerate(map(clean_call, calls)):
        id = call.id or f"call_{len(phone.trajectory.messages)}_{number}"
        made.append(replace(call, id=id))
        seen.append(Message("tool", clean_text(phone.call(call)), call_id=id))
    return [Message("assistant", "", tuple(made)), *seen]


def judged(scenario: Scenario, phone: Phone) -> Score:
    """The mean similarity of the milestones, and 0 where a minefield has any; unscored beyond the search."""
    try:
        milestones = scenario.milestones.match(phone.trajectory)
        mined = scenario.minefields.similarity(phone.trajectory) or 0.0
    except TooManyPlacements:
        return Score.unscored("too_many_placements", **_detail(phone))
    found = 1.0 if milestones is None else scenario.milestones.mean(milestones)
    value = 0.0 if mined else min(1.0, found)
    reason = None if value == 1.0 else "minefield" if mined else "wrong"
    near = {str(n): round(own, 4) for n, (_, own) in sorted((milestones or {}).items())}
    return Score(value, reason, detail={**_detail(phone), "milestones": near})


def _detail(phone: Phone) -> dict[str, Any]:
    return {"messages": len(phone.trajectory.messages)}

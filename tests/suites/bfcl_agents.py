"""A scripted agent for BFCL's conversations, which makes the gold calls, for tests and studies.

As a script it evaluates some conversations into a Run, slowly enough to be killed:

    python bfcl_agents.py CHECKPOINT OUT TASK LIMIT [SECONDS_AN_ANSWER]
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from waterbed import FakeBackend, Generation, evaluate
from waterbed.harness.backends.base import Ticket
from waterbed.harness.records import Answer, Fault, Sample, ToolCall
from waterbed.harness.tasks import tasks
from waterbed.suites.bfcl_simulators import Scene, World

DONE = Generation("Done.")


def answers(sample: Sample, native: bool) -> list[Generation]:
    """A perfect model's answers: per turn its gold calls at once, then a word."""
    world = World(Scene(tuple(sample.input["classes"]), sample.input["config"]))
    said = []
    for calls in sample.target["gold"]:
        if calls:
            named = [keywords(world, call) for call in calls]
            said.append(in_tools(named) if native else in_text(named))
        said.append(DONE)
    return said


def keywords(world: World, call: str) -> tuple[str, dict[str, Any]]:
    """A gold call with every argument by name, as models write it."""
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    given = [ast.literal_eval(a) for a in node.args]
    named = {k.arg: ast.literal_eval(k.value) for k in node.keywords}
    bound = inspect.signature(world.methods[node.func.id]).bind(*given, **named)  # type: ignore[arg-type]
    return node.func.id, dict(bound.arguments)


def in_text(calls: Sequence[tuple[str, Mapping[str, Any]]]) -> Generation:
    written = (f"{n}({', '.join(f'{k}={v!r}' for k, v in given.items())})" for n, given in calls)
    return Generation(f"[{', '.join(written)}]")


def in_tools(calls: Sequence[tuple[str, Mapping[str, Any]]]) -> Generation:
    made = (ToolCall(n, json.dumps(given), f"c{i}") for i, (n, given) in enumerate(calls))
    return Generation("", calls=tuple(made))


class Agent(FakeBackend):
    """Knows the item that it is asked about, and how many answers it has given."""

    def __init__(self, task: str, pause_s: float = 0.0) -> None:
        super().__init__(str, identity="gold agent", batch_size=8)
        self.native = task.endswith("native")
        self.items = {s.id: s for s in tasks.get(task).items}
        self.scripts: dict[str, list[Generation]] = {}
        self.pause_s = pause_s

    def answer(self, tickets: Sequence[Ticket]) -> Iterator[tuple[int, Answer | Fault]]:
        for index, ticket in enumerate(tickets):
            time.sleep(self.pause_s)
            if ticket.sample_id not in self.scripts:
                sample = self.items[ticket.sample_id]
                self.scripts[ticket.sample_id] = answers(sample, self.native)
            yield index, self.scripts[ticket.sample_id][ticket.ordinal]


if __name__ == "__main__":
    checkpoint, out, task, limit, *pause = sys.argv[1:]
    agent = Agent(task, float(pause[0]) if pause else 0.0)
    evaluate(checkpoint, [task], out, backend=agent, limit=int(limit))

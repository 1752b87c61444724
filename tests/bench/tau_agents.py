"""A scripted agent and a scripted customer for tau-bench, for tests and benchmarks.

The agent makes the gold calls, then says every expected output; the customer says everything at once and
stops at the first answer. As a script it evaluates them into a Run, slowly enough to be killed:

    python tau_agents.py CHECKPOINT OUT [SECONDS_A_TURN]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from waterbed import FakeBackend, Generation, evaluate
from waterbed.harness.records import Sample, ToolCall
from waterbed.harness.tasks import Task, resolve

GREETING_ONLY = 2
"""Turns of the customer's prompt before it has said anything."""


def gold_turn(target: dict[str, Any], done: int) -> Generation:
    """What a perfect agent does after so many calls."""
    if done < len(target["actions"]):
        action = target["actions"][done]
        call = ToolCall(action["name"], json.dumps(action["kwargs"]), f"call_{done}")
        return Generation("", calls=(call,))
    return Generation("Done. " + " ".join(target["outputs"]))


def agent(tasks: list[Task], pause_s: float = 0.0) -> FakeBackend:
    """Knows each sample by what its customer says first."""
    gold = {first_words(s): s.target for t in tasks for s in t.items}

    def answer(prompt: str) -> Generation:
        time.sleep(pause_s)
        messages = json.loads(prompt)["messages"]
        done = sum(m["role"] == "tool" for m in messages)
        return gold_turn(gold[messages[1]["content"]], done)

    return FakeBackend(answer, identity="gold agent")


def customer(tasks: list[Task]) -> FakeBackend:
    """Says the whole instruction, then stops."""
    words = {first_words(s): s.input["instruction"] for t in tasks for s in t.items}

    def answer(prompt: str) -> str:
        messages = json.loads(prompt)
        if len(messages) > GREETING_ONLY:
            return "###STOP###"
        role = messages[0]["content"]
        return next(said for said, instruction in words.items() if instruction in role)

    return FakeBackend(answer, identity="hasty customer")


def first_words(sample: Sample) -> str:
    """What the customer says first; the number tells customers with equal instructions apart."""
    return f"{sample.input['instruction']} ({sample.id})"


def evaluated(checkpoint: str | Path, out: str | Path, pause_s: float = 0.0) -> None:
    """Let both hold every conversation of the airline, or go on where a Run was left."""
    chosen = list(resolve(["tau-bench/airline"]))
    evaluate(
        checkpoint,
        ["tau-bench/airline"],
        out,
        backend=agent(chosen, pause_s),
        judges={"user": customer(chosen)},
    )


if __name__ == "__main__":
    model, folder, *rest = sys.argv[1:]
    evaluated(model, folder, float(rest[0]) if rest else 0.0)

"""tau-bench (Yao et al. 2024, arXiv:2406.12045): an agent serves a simulated customer by its policy.

The agent has tools over a database; who plays the customer is a model of its own, the role `user`. The
conversation ends when the customer says ###STOP### or the agent transfers to a human; after 30 turns of
the agent it is over and lost. It is won if the database is then what the gold actions make of it, and
every expected output stands in something the agent said. Of several calls in a turn the first is made.

The customer's prompt is in our words, since tau-bench's own is no part of its data: figures are
comparable between Runs with the same customer, not with published ones. A Run with several
conversations a task carries pass^k. Not here: the tools, the training tasks, agents that write actions
as text.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, TypeVar

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
from ...harness.statistics.samples import pass_hat_k
from ...harness.tasks import Card, Metric, task
from .calls import carry_out, read_arguments
from .database import Database, Refused
from .domain import COMMIT, TRANSFER, Domain, read

T = TypeVar("T", bound=type)

#: Turns of the agent, calls included.
STEPS = 30
STOP = "###STOP###"
#: The customer varies between conversations, as gpt-4o at its default did in the published runs.
CUSTOMER = GenerationSettings(max_tokens=512, temperature=1.0)
_GREETING = "Hello, how can I help you?"
_ROLE = """You play a customer who writes to customer service. What you want, and what you know about \
yourself, is this:

{instruction}

Write only what this customer says next, in one short message, in your own words.
- Tell what you want step by step: in each message no more than what is needed now.
- Make nothing up. If you are asked for something that is not given above, say that you do not know it.
- Stay with your wishes and your manner as they are given above.
- When everything you want is done, or you have been told that it cannot be done and accept it, write \
{stop} and nothing else."""


class _Customers:
    """The test tasks of one domain."""

    DOMAIN = ""

    def __init__(self) -> None:
        self.wanted: dict[str, Mapping[tuple[str, str], str]] = {}
        """What the gold actions change, by sample; filled when a sample is first scored."""

    @functools.cached_property
    def domain(self) -> Domain:
        """Policy, tools and records."""
        return Domain.load(self.DOMAIN)

    def samples(self) -> Iterator[Sample]:
        """One sample a task, in the order of the file, which its id counts.

        Raises:
            UsageError, DataError: see `Domain.load`.
        """
        for number, row in enumerate(read(f"{self.DOMAIN}/tasks_test.json")):
            asked = {"user_id": row["user_id"], "instruction": row["instruction"]}
            gold = {"actions": row["actions"], "outputs": row["outputs"]}
            yield Sample(str(number), asked, gold)

    def converse(self, sample: Sample) -> Generator[Generate, Any, Score]:
        """Agent and customer in turns; tools answer at once."""
        database, said = self.domain.database(), list[str]()
        role = _ROLE.format(instruction=sample.input["instruction"], stop=STOP)
        customer = [Message("system", role), Message("user", _GREETING)]
        opening = yield Generate(tuple(customer), CUSTOMER, role="user")
        customer.append(Message("assistant", clean_text(opening.text)))
        agent = [Message("system", self.domain.policy), Message("user", customer[-1].content)]
        for step in range(1, STEPS + 1):
            turn: Generation = yield Generate(tuple(agent), tools=self.domain.documents)
            if turn.calls:
                call, seen = self._call(database, turn.calls[0], step)
                agent += [Message("assistant", clean_text(turn.text), (call,)), seen]
                if call.name == TRANSFER:
                    return self.score(sample, database, said, "transfer", step)
                continue
            said.append(clean_text(turn.text))
            agent.append(Message("assistant", said[-1]))
            customer.append(Message("user", said[-1]))
            reply = yield Generate(tuple(customer), CUSTOMER, role="user")
            if STOP in reply.text:
                return self.score(sample, database, said, "stop", step)
            customer.append(Message("assistant", clean_text(reply.text)))
            agent.append(Message("user", customer[-1].content))
        return Score(0.0, "step_limit", detail={"ended": "step_limit", "steps": STEPS})

    def _call(self, database: Database, asked: ToolCall, step: int) -> tuple[ToolCall, Message]:
        """Make a call; returns it as later turns show it, and what the agent sees.

        Servers refuse a chat in which a call's arguments are no JSON object, so such arguments are
        shown as none; what the agent sees quotes them.
        """
        name, arguments = clean_text(asked.name), clean_text(asked.arguments)
        id = clean_text(asked.id) or f"call_{step}"
        try:
            read_ = read_arguments(arguments)
        except Refused as refusal:
            return ToolCall(name, "{}", id), _observed(f"Error: {refusal}", id)
        seen = carry_out(self.domain.tools, database, name, read_)
        return ToolCall(name, arguments or "{}", id), _observed(seen, id)

    def score(
        self, sample: Sample, database: Database, said: Sequence[str], ended: str, steps: int
    ) -> Score:
        """1 if the database is as the gold actions make it and every expected output was said."""
        if sample.id not in self.wanted:
            self.wanted[sample.id] = self.domain.after(sample.target["actions"]).changes()
        same = database.changes() == self.wanted[sample.id]
        told = [text.lower().replace(",", "") for text in said]
        missing = [o for o in sample.target["outputs"] if not any(o.lower() in t for t in told)]
        detail = {"ended": ended, "steps": steps, "database": same, "not_said": missing}
        won = same and not missing
        return Score(float(won), None if won else "wrong", detail=detail)

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """pass^k for every k that all tasks have conversations for; nothing for one each."""
        wins = [(len(own), sum(s.value == 1.0 for s in own)) for own in scores.values()]
        most = min(n for n, _ in wins)
        if most < 2:
            return {}
        return {
            f"pass^{k}": fmean(pass_hat_k(n, c, k) for n, c in wins) for k in range(1, most + 1)
        }


def _observed(text: str, id: str) -> Message:
    return Message("tool", clean_text(text), call_id=id)


def _customers(
    name: str, measures: str, items: int, reference: Mapping[str, float], compared: str
) -> Callable[[T], T]:
    """`@task` with what both domains share."""
    return task(
        f"tau-bench/{name}",
        domain="tools",
        metrics=(Metric("reward"),),
        settings=GenerationSettings(max_tokens=2048),
        groups=("tau-bench",),
        roles=("user",),
        card=Card(
            measures=measures,
            not_measures="Policy beyond what the final database shows; how the customer was spoken to. "
            "The customer's prompt is our own: absolute figures are not comparable with published ones.",
            source="sierra-research/tau-bench",
            licence="MIT",
            revision=COMMIT[:8],
            items=items,
            reference=reference,
            verified=f"against tau-bench's tools and rewards: {compared}",
        ),
    )


@_customers(
    "airline",
    "Serving airline customers over several turns with 14 tools and a written policy.",
    50,
    {"gpt-4o": 0.420, "claude-3-5-sonnet-20241022": 0.460},
    "200 of 200 published rewards of recorded conversations, 1,164 of 1,164 of their observations (in 120 a "
    "field was renamed since), and 22 of 22 recorded gold databases equal",
)
class Airline(_Customers):
    """50 customers of an airline."""

    DOMAIN = "airline"


@_customers(
    "retail",
    "Serving customers of a shop over several turns with 16 tools and a written policy.",
    115,
    {"gpt-4o": 0.604, "claude-3-5-sonnet-20241022": 0.692},
    "51 of 51 recorded gold databases with all their observations equal",
)
class Retail(_Customers):
    """115 customers of an online shop."""

    DOMAIN = "retail"

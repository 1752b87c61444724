"""How near a conversation comes to ToolSandbox's milestones (Lu et al. 2024, arXiv:2408.04682, section 3.3).

A milestone holds at one message. Its similarity is the geometric mean of its constraints; databases
that it does not name must not have changed since the milestones before it (a guardrail). Milestones are
put on messages in an order that their edges allow, so that the sum of their similarities is largest.
Facts are from `MilestoneMatcher` in tool_sandbox/common/evaluation.py of apple/ToolSandbox @ 165848b9,
which searches depth first; here the same largest sum is found by dynamic programming. Messages between
which no database changed are one place to whatever refers to them.

Not here: the constraints themselves (similarity.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from .similarity import DATABASES, GUARDRAIL, KINDS, Constraint, Row, Rows

#: Where a constraint's reference is the beginning of the conversation.
BEGINNING = -1
#: Steps of a search, seconds of work: chains side by side over a state that always changes need too many.
MOST_STEPS = 20_000


class Uncovered(Exception):
    """Something in a scenario that this project does not carry out."""


class TooManyPlacements(Exception):
    """The best places of the milestones were not found within MOST_STEPS."""


@dataclass(frozen=True, slots=True)
class Milestone:
    """Constraints that hold at one message."""

    constraints: Sequence[Constraint]
    guarded: frozenset[str] = frozenset(DATABASES)
    """Databases that must not have changed unless they are constrained."""


class Trajectory:
    """Messages and, beside each, the state of the databases after it."""

    def __init__(self) -> None:
        self.messages: list[Row] = []
        self.states: list[Mapping[str, Rows]] = []

    def rows(self, database: str, index: int) -> Rows:
        """A database at a message; of SANDBOX, the message itself."""
        return (self.messages[index],) if database == "SANDBOX" else self.states[index][database]


class Matcher:
    """Milestones with the order that their edges ask for.

    Raises:
        Uncovered: the edges have no order, or a reference need not come before what refers to it.
    """

    def __init__(
        self, milestones: Sequence[Milestone], edges: Sequence[Sequence[int]] | None
    ) -> None:
        if edges is None:
            edges = [(n, n + 1) for n in range(len(milestones) - 1)]
        # As in the reference, a milestone without edges is left out unless it is the only one.
        nodes = {0} if len(milestones) == 1 else {node for edge in edges for node in edge}
        self.before = {node: {a for a, b in edges if b == node} for node in nodes}
        self.count = len(milestones)
        self.constraints = {n: self._guarded(milestones, n) for n in nodes}
        self.needs = {
            n: {c.reference for c in own if c.reference not in (None, BEGINNING)}
            for n, own in self.constraints.items()
        }
        self._check_order()

    def _guarded(self, milestones: Sequence[Milestone], node: int) -> list[Constraint]:
        """A milestone's constraints, and guardrails against those before it and those it refers to."""
        own = milestones[node].constraints
        others = {c.reference for c in own if c.reference is not None} | self.before[node]
        # A reference to the beginning, -1, stands there for the last milestone, as in the reference.
        named = {c.database for n in {node, *others} for c in milestones[n].constraints}
        free = sorted(milestones[node].guarded - named - {"SANDBOX"})
        guards = [Constraint(d, GUARDRAIL, reference=n) for n in sorted(others) for d in free]
        return [*own, *guards]

    def _check_order(self) -> None:
        earlier: dict[int, set[int]] = {}
        try:
            for node in TopologicalSorter(self.before).static_order():
                direct = self.before[node]
                earlier[node] = direct.union(*(earlier[n] for n in direct))
                if not self.needs[node] <= earlier[node]:
                    raise Uncovered("a milestone refers to one that need not come before it")
        except CycleError:
            raise Uncovered("its milestones have no order") from None

    def match(self, trajectory: Trajectory) -> dict[int, tuple[int, float]] | None:
        """Message and similarity of each milestone; None where there is none.

        Raises:
            TooManyPlacements: see MOST_STEPS.
        """
        return _Search(self, trajectory).best() if self.before else None

    def similarity(self, trajectory: Trajectory) -> float | None:
        """Mean similarity of the milestones; None where there is none; raises as `match`."""
        found = self.match(trajectory)
        return None if found is None else self.mean(found)

    def mean(self, found: Mapping[int, tuple[int, float]]) -> float:
        """Mean similarity of milestones that were matched; one that was left out counts 0."""
        return sum(s for _, s in found.values()) / self.count


class _Search:
    """The best places of milestones in one conversation, by dynamic programming."""

    def __init__(self, matcher: Matcher, trajectory: Trajectory) -> None:
        self.matcher, self.trajectory = matcher, trajectory
        self.known: dict[Any, dict[int, tuple[int, float]]] = {}
        self.measured: dict[Any, float] = {}
        states = trajectory.states
        self.alike = [states.index(state) for state in states]
        """The first message after which the databases were the same."""
        self.exact = {
            c.reference
            for own in matcher.constraints.values()
            for c in own
            if c.database == "SANDBOX"
        }
        """Milestones of which the message itself is compared, not the databases after it."""

    def best(self) -> dict[int, tuple[int, float]]:
        return self._rest(frozenset(self.matcher.before), 0, {})

    def _rest(
        self, left: frozenset[int], start: int, placed: Mapping[int, int]
    ) -> dict[int, tuple[int, float]]:
        """Where to put the milestones that are left, none before `start`."""
        asked = {n for node in left for n in self.matcher.needs[node]}
        placed = {
            n: at if n in self.exact else self.alike[at] for n, at in placed.items() if n in asked
        }
        key = (left, start, tuple(sorted(placed.items())))
        if key not in self.known:
            if len(self.known) >= MOST_STEPS:
                raise TooManyPlacements
            self.known[key] = self._tried(left, start, placed)
        return self.known[key]

    def _tried(
        self, left: frozenset[int], start: int, placed: Mapping[int, int]
    ) -> dict[int, tuple[int, float]]:
        best: dict[int, tuple[int, float]] = {}
        most = -1.0
        for node in sorted(n for n in left if not self.matcher.before[n] & left):
            for at in reversed(range(start, len(self.trajectory.messages))):
                own = self._similarity(node, at, placed)
                rest = self._rest(left - {node}, at, {**placed, node: at})
                total = own + sum(s for _, s in rest.values())
                if total > most:
                    best, most = {node: (at, own), **rest}, total
        return best

    def _similarity(self, node: int, at: int, placed: Mapping[int, int]) -> float:
        """Geometric mean of the constraints; guardrails count only where one is broken."""
        product, counted = 1.0, 0
        for number, constraint in enumerate(self.matcher.constraints[node]):
            since = {**placed, BEGINNING: 0}.get(constraint.reference)  # type: ignore[arg-type]
            key = (node, number, at, since)
            if key not in self.measured:
                rows = self.trajectory.rows(constraint.database, at)
                then = () if since is None else self.trajectory.rows(constraint.database, since)
                self.measured[key] = KINDS[constraint.kind](rows, then, constraint)
            product *= self.measured[key]
            counted += constraint.kind != GUARDRAIL
        return math.pow(product, 1 / max(counted, 1))

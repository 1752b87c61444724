"""Milestones are matched as ToolSandbox's definitions say, over scripted conversations."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterbed.suites.toolsandbox import milestones as milestones_
from waterbed.suites.toolsandbox.milestones import (
    Matcher,
    Milestone,
    TooManyPlacements,
    Trajectory,
    Uncovered,
)
from waterbed.suites.toolsandbox.similarity import KINDS, Column, Constraint, rouge_l


def said(*contents: str, states: list[list[dict[str, Any]]] | None = None) -> Trajectory:
    """A conversation of these messages, with the contacts after each."""
    trajectory = Trajectory()
    for at, content in enumerate(contents):
        trajectory.messages.append({"content": content, "sender": "AGENT"})
        contacts = states[at] if states else []
        empty = dict.fromkeys(("SETTING", "MESSAGING", "REMINDER"), ())
        trajectory.states.append({**empty, "CONTACT": contacts})
    return trajectory


def saying(text: str, reference: int | None = None) -> Milestone:
    return Milestone(
        [Constraint("SANDBOX", "snapshot_similarity", [{"content": text}], {}, reference=reference)]
    )


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ("Wifi is on", "wifi is on", 1.0),
        ("wifi, is: on!", "Wifi is on.", 1.0),
        ("turning services off", "turned service off", 1.0),
        ("is on", "is on", 1.0),
        ("on is", "is on", 0.5),
        ("a b c d", "a c", 2 * 2 / 6),
        ("", "on", 0.0),
        ("on", "", 0.0),
        ("é", "é", 0.0),
    ],
)
def test_rouge_l_is_the_f_measure_of_stems_in_order(text: str, wanted: str, value: float) -> None:
    assert rouge_l(text, wanted) == pytest.approx(value)


def test_milestones_in_a_row_are_found_in_order_only() -> None:
    matcher = Matcher([saying("one"), saying("two")], None)
    assert matcher.similarity(said("one", "x", "two")) == 1.0
    assert matcher.similarity(said("two", "one")) == 0.5
    assert Matcher([saying("one"), saying("two")], [(1, 0)]).similarity(said("two", "one")) == 1.0


def test_two_milestones_may_share_a_message() -> None:
    assert Matcher([saying("one two"), saying("one two")], None).similarity(said("one two")) == 1.0


def test_without_milestones_there_is_no_similarity() -> None:
    assert Matcher([], None).similarity(said("x")) is None
    assert Matcher([saying("a"), saying("b")], []).similarity(said("x")) is None


def test_the_later_of_equal_messages_is_taken() -> None:
    assert Matcher([saying("one")], None).match(said("one", "x", "one")) == {0: (2, 1.0)}


ANN, BO = {"name": "Ann", "age": 1}, {"name": "Bo", "age": 2}


@pytest.mark.parametrize(
    ("kind", "rows", "reference", "value"),
    [
        ("snapshot_similarity", [ANN, BO], [], 0.0),
        ("snapshot_similarity", [BO], [], 1.0),
        ("addition_similarity", [ANN, BO], [ANN], 1.0),
        ("addition_similarity", [BO], [ANN], 0.0),
        ("addition_similarity", [ANN], [ANN], 0.0),
        ("removal_similarity", [ANN], [ANN, BO], 1.0),
        ("removal_similarity", [], [ANN, BO], 0.0),
        ("update_similarity", [ANN, BO], [ANN, {**BO, "age": 3}], 1.0),
        ("update_similarity", [ANN, BO], [ANN], 0.0),
        ("guardrail_similarity", [ANN], [ANN], 1.0),
        ("guardrail_similarity", [ANN], [BO], 0.0),
    ],
)
def test_a_database_is_compared_with_what_it_was(
    kind: str, rows: list[Any], reference: list[Any], value: float
) -> None:
    constraint = Constraint("CONTACT", kind, [{"name": "Bo"}])
    assert KINDS[kind](rows, reference, constraint) == pytest.approx(value)


def test_rows_are_matched_so_that_their_product_is_largest() -> None:
    wanted = [{"content": "a b"}, {"content": "a"}]
    constraint = Constraint("SANDBOX", "snapshot_similarity", wanted)
    rows = [{"content": "a"}, {"content": "a b c"}]
    assert KINDS["snapshot_similarity"](rows, (), constraint) == pytest.approx(math.sqrt(0.8))


def test_an_unknown_column_or_another_number_of_rows_is_nothing_alike() -> None:
    constraint = Constraint("CONTACT", "snapshot_similarity", [{"title": "Dr"}])
    assert KINDS["snapshot_similarity"]([ANN], (), constraint) == 0.0
    assert KINDS["snapshot_similarity"]([], (), constraint) == 0.0


def test_a_tool_trace_matches_by_the_arguments_that_are_asked_for() -> None:
    trace = {"tool_name": "f", "arguments": {"x": 1.0, "y": "z"}, "result": None}
    rows = [{"tool_trace": [trace]}]

    def value(wanted: Any, **within: float) -> float:
        column = Column("column_tool_trace_exact_match_similarity", within)
        constraint = Constraint("SANDBOX", "", [{"tool_trace": wanted}], {"tool_trace": column})
        return KINDS["snapshot_similarity"](rows, (), constraint)

    assert value({"tool_name": "f", "arguments": {}}) == 1.0
    assert value({"tool_name": "f", "arguments": {"y": "z"}}) == 1.0
    assert value({"tool_name": "f", "arguments": {"y": "a"}}) == 0.0
    assert value({"tool_name": "g", "arguments": {}}) == 0.0
    assert value({"tool_name": "f", "arguments": {"x": 1.4}}) == 0.0
    assert value({"tool_name": "f", "arguments": {"x": 1.4}}, x=0.5) == 1.0
    assert value([{"tool_name": "g", "arguments": {}}, {"tool_name": "f", "arguments": {}}]) == 1.0


def test_a_guardrail_holds_databases_that_no_milestone_near_it_names() -> None:
    milestones = [saying("one"), saying("two")]
    kept, changed = [[ANN], [ANN]], [[ANN], [BO]]
    assert Matcher(milestones, None).similarity(said("one", "two", states=kept)) == 1.0
    assert Matcher(milestones, None).similarity(said("one", "two", states=changed)) == 0.5
    free = [saying("one"), Milestone(milestones[1].constraints, frozenset())]
    assert Matcher(free, None).similarity(said("one", "two", states=changed)) == 1.0


@pytest.mark.parametrize(
    ("milestones", "edges", "said"),
    [
        ([saying("a"), saying("b")], [(0, 1), (1, 0)], "have no order"),
        ([saying("a", reference=1), saying("b")], [(0, 1)], "need not come before"),
    ],
)
def test_what_has_no_order_is_refused(
    milestones: list[Milestone], edges: list[tuple[int, int]], said: str
) -> None:
    with pytest.raises(Uncovered, match=said):
        Matcher(milestones, edges)


def by_trying_all(matcher: Matcher, trajectory: Trajectory, texts: list[str]) -> float:
    """The largest sum over every way to put milestones on messages in an order they allow."""
    best, places = 0.0, range(len(trajectory.messages))
    for order in itertools.permutations(range(len(texts))):
        if any(order.index(a) > order.index(b) for b in matcher.before for a in matcher.before[b]):
            continue
        for at in itertools.combinations_with_replacement(places, len(texts)):
            total, then = 0.0, dict(zip(order, at, strict=True))
            for node, index in then.items():
                contacts = trajectory.states[index]["CONTACT"]
                same = (
                    contacts == trajectory.states[then[n]]["CONTACT"] for n in matcher.before[node]
                )
                content = trajectory.messages[index]["content"]
                total += rouge_l(content, texts[node]) if all(same) else 0.0
            best = max(best, total)
    return best


@pytest.mark.parametrize("seed", range(12))
def test_the_best_match_is_that_of_trying_all(seed: int) -> None:
    draw = random.Random(seed)
    words = ["on off", "on", "off wifi", "wifi on off", "x"]
    texts = [draw.choice(words) for _ in range(3)]
    edges = draw.choice([None, [(0, 1), (0, 2)], [(0, 2), (1, 2)], [(2, 1), (1, 0)]])
    matcher = Matcher([saying(text) for text in texts], edges)
    states = [[{"n": draw.randint(0, 1)}] for _ in range(5)]
    trajectory = said(*(draw.choice(words) for _ in range(5)), states=states)
    found = matcher.similarity(trajectory)
    assert found == pytest.approx(by_trying_all(matcher, trajectory, texts) / 3)


CHAINS = [(0, 1), (2, 3), (4, 5)]


def test_chains_side_by_side_are_placed_in_a_conversation_that_changes_nothing() -> None:
    matcher = Matcher([saying(text) for text in "abcdef"], CHAINS)
    assert matcher.similarity(said(*("x" * 24), *"abcdef")) == 1.0


def test_a_search_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that changes the phone with every message makes every place another one."""
    monkeypatch.setattr(milestones_, "MOST_STEPS", 500)
    matcher = Matcher([saying(text) for text in "abcdef"], CHAINS)
    states = [[{"n": n}] for n in range(30)]
    with pytest.raises(TooManyPlacements):
        matcher.similarity(said(*("x" * 24), *"abcdef", states=states))


@given(st.text(), st.text())
def test_any_two_texts_are_alike_to_a_degree(one: str, other: str) -> None:
    assert 0.0 <= rouge_l(one, other) <= 1.0

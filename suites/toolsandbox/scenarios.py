"""ToolSandbox's scenarios, read from its published Python as data.

Scenarios are `ScenarioExtension(...)` expressions in tool_sandbox/scenarios/*.py of apple/ToolSandbox @
165848b9, nearly literal: dicts, lists, texts joined by +, names of an enumeration, `pl.DataFrame({..})`,
`json.dumps(..)` and `deterministic_uuid(..)`. These are evaluated here by their syntax tree; nothing is
imported or run. Anything else in a scenario, above all extractors of values from tool traces and dates of
today, is `Uncovered`, and the scenario is named with the reason. So is one that needs a tool, or
constrains a database, that world.py does not hold.

The augmented copies of a scenario (more tools, scrambled names) are made by code and not read.
"""

from __future__ import annotations

import ast
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .milestones import Matcher, Milestone, Uncovered
from .similarity import DATABASES, KINDS, MEASURES, Column, Constraint, Rows
from .world import CHANGED, TOOLS

#: Names that stand for themselves.
_NAMES = {*KINDS, *MEASURES}
#: Expressions that become the dict of their named arguments.
_RECORDS = ("ScenarioExtension", "SnapshotConstraint", "Milestone", "Minefield")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A conversation's beginning, and what it is measured by."""

    name: str
    base: str
    """Which settings are flipped at the start: `base`, or `base_` and their states."""
    task: str
    """What the user is told."""
    opening: str
    """What the user says first."""
    tools: tuple[str, ...]
    milestones: Matcher
    minefields: Matcher


def deterministic_id(payload: str) -> str:
    """The id that ToolSandbox derives from a text."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, payload))


def expressions(module: ast.Module) -> Iterator[ast.Call]:
    """Every scenario of a file, unread."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and _called(node) == "ScenarioExtension":
            yield node


def name_of(node: ast.Call) -> str:
    """A scenario's name as far as it is written out."""
    found = next((k.value for k in node.keywords if k.arg == "name"), None)
    return found.value if isinstance(found, ast.Constant) and isinstance(found.value, str) else "?"


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def value_of(node: ast.expr, texts: Mapping[str, str]) -> Any:
    """The value of an expression.

    Args:
        texts: constants of other modules, by name.

    Raises:
        Uncovered: it is of a kind that is not read.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in texts or node.id in _NAMES:
            return texts.get(node.id, node.id)
        case ast.Attribute(value=ast.Name()):
            return node.attr
        case ast.Subscript(value=ast.Name(id="base_scenarios")):
            return value_of(node.slice, texts)
        case ast.UnaryOp(op=ast.USub()):
            return -value_of(node.operand, texts)
        case ast.BinOp(op=ast.Add()):
            return value_of(node.left, texts) + value_of(node.right, texts)
        case ast.JoinedStr() | ast.FormattedValue():
            parts = node.values if isinstance(node, ast.JoinedStr) else [node.value]
            return "".join(str(value_of(part, texts)) for part in parts)
        case ast.List() | ast.Tuple():
            return [value_of(part, texts) for part in node.elts if not _is_example(part)]
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return {value_of(k, texts): value_of(v, texts) for k, v in pairs if k is not None}
        case ast.Call():
            return _made(node, texts)
    raise Uncovered(f"`{ast.unparse(node)[:80]}` is not read")


def _is_example(node: ast.expr) -> bool:
    """Whether an element stands for examples shown to ToolSandbox's own user simulator."""
    return isinstance(node, ast.Starred) and "few_shot" in ast.unparse(node.value)


def _made(node: ast.Call, texts: Mapping[str, str]) -> Any:
    name = _called(node)
    if name not in (*_RECORDS, "DataFrame", "dumps", "deterministic_uuid", "partial"):
        raise Uncovered(f"`{ast.unparse(node)[:80]}` is not read")
    given = [value_of(argument, texts) for argument in node.args]
    named = {str(k.arg): value_of(k.value, texts) for k in node.keywords}
    try:
        if name in _RECORDS:
            return named
        if name == "DataFrame":
            return _rows(*given)
        if name == "partial":
            return Column(str(given[0]), named["atol_dict"])
        return given[0] if name == "dumps" else deterministic_id(*given, **named)
    except (TypeError, KeyError, IndexError) as error:
        raise Uncovered(f"`{ast.unparse(node)[:80]}` is not read ({error})") from None


def _rows(columns: Mapping[str, Any]) -> Rows:
    """A table given by columns; a column that is no list has one value for all rows."""
    length = max((len(v) for v in columns.values() if isinstance(v, list)), default=1)
    spread = {k: v if isinstance(v, list) else [v] * length for k, v in columns.items()}
    if any(len(values) != length for values in spread.values()):
        raise Uncovered("a table with columns of different lengths")
    return [{k: values[n] for k, values in spread.items()} for n in range(length)]


def read_scenario(node: ast.Call, texts: Mapping[str, str]) -> Scenario:
    """A scenario that this project can play.

    Raises:
        Uncovered: it holds something that is not carried out here.
    """
    try:
        found = value_of(node, texts)
        told, opening = _beginning(found.get("messages", []))
        allowed, denied = found["tool_allow_list"], found.get("tool_deny_list") or []
        tools = tuple(name for name in allowed if name not in denied)
        missing = sorted(set(tools) - set(TOOLS))
        if missing:
            raise Uncovered(f"it needs the tool {missing[0]}")
        return Scenario(
            str(found["name"]),
            str(found["base_scenario"]),
            told,
            opening,
            tools,
            Matcher(*_milestones(found, "milestone")),
            Matcher(*_milestones(found, "minefield")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise Uncovered(f"it is not of the known form ({error!r})") from None


def _beginning(messages: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """What the user is told, and what it says first."""
    ends = [(m["sender"], m["recipient"]) for m in messages]
    if ends != [("SYSTEM", "USER"), ("USER", "AGENT")]:
        raise Uncovered("it does not begin with one message of the user")
    return messages[0]["content"], messages[1]["content"]


def _milestones(found: Mapping[str, Any], kind: str) -> tuple[list[Milestone], Any]:
    own = [_milestone(record) for record in found.get(f"{kind}s", [])]
    return own, found.get(f"{kind}_edge_list")


def _milestone(record: Mapping[str, Any]) -> Milestone:
    guarded = set(record.get("guardrail_database_list") or DATABASES)
    guarded -= set(record.get("guardrail_database_exclusion_list") or ())
    return Milestone([_constraint(c) for c in record["snapshot_constraints"]], frozenset(guarded))


def _constraint(record: Mapping[str, Any]) -> Constraint:
    database, kind = record["database_namespace"], record["snapshot_constraint"]
    if kind not in KINDS:
        raise Uncovered(f"it has a constraint of the kind {kind}")
    if database not in ("SANDBOX", *CHANGED):
        raise Uncovered(f"it constrains the database {database}")
    columns = {
        name: measure if isinstance(measure, Column) else Column(measure)
        for name, measure in (record.get("column_similarity_measure") or {}).items()
    }
    rows, reference = (
        record.get("target_dataframe", []),
        record.get("reference_milestone_node_index"),
    )
    return Constraint(database, kind, rows, columns, reference)

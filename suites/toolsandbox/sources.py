"""ToolSandbox's files beside its scenarios: what the user and the agent are told, contacts, tools.

They are Python, read as data and never run, from WATERBED_DATA/toolsandbox, a copy of the folder
tool_sandbox of apple/ToolSandbox. Not here: scenarios (scenarios.py).
"""

from __future__ import annotations

import ast
import functools
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...harness.errors import DataError, WaterbedError
from ...harness.folders import data_path, data_root
from ..python_source import functions, parsed
from .milestones import Uncovered
from .scenarios import value_of
from .similarity import Rows
from .world import TOOLS

COMMIT = "165848b9a78cead7ca7fe7c89c688b58e6501219"
SOURCE = (
    f"tool_sandbox of github.com/apple/ToolSandbox @ {COMMIT[:8]} (Apple's sample code licence)"
)
#: The tool by which the user ends a conversation.
END = "end_conversation"
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def module(relative: str) -> ast.Module:
    """A file of ToolSandbox, parsed.

    Raises:
        UsageError: it is missing.
        DataError: it is no Python.
    """
    return parsed(data_path(f"toolsandbox/{relative}", SOURCE), f"get {SOURCE} again")


def scenario_files() -> list[str]:
    """The files that hold scenarios; where there are none, one that is missing."""
    root = data_root()
    folder = Path() if root is None else root / "toolsandbox" / "scenarios"
    found = sorted(path.name for path in folder.glob("*_scenarios.py")) if root else []
    names = [name for name in found if name != "base_scenarios.py"]
    return [f"scenarios/{name}" for name in names or ["single_tool_call_scenarios.py"]]


class Sources:
    """What ToolSandbox's files say beside the scenarios."""

    def check(self) -> None:
        """Read everything, so that no conversation begins which lacks a file.

        Raises:
            UsageError: a file is missing.
            DataError: one is of another form.
        """
        try:
            _ = self.texts, self.contacts, self.told, self.documents
        except WaterbedError:
            raise
        except (Uncovered, LookupError, TypeError, ValueError) as error:
            raise DataError(
                f"ToolSandbox's files are not of the known form ({error}); get {SOURCE} again."
            ) from error

    @functools.cached_property
    def texts(self) -> Mapping[str, str]:
        """Constants that scenarios name."""
        for node in ast.walk(module("scenarios/user_simulator_few_shot_examples.py")):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "USER_INSTRUCTION":
                texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
                return {"USER_INSTRUCTION": textwrap.dedent(str(texts[0])).lstrip()}
        raise DataError(f"ToolSandbox's files have no USER_INSTRUCTION; get {SOURCE} again.")

    @functools.cached_property
    def base(self) -> ast.Module:
        return module("scenarios/base_scenarios.py")

    @functools.cached_property
    def contacts(self) -> Rows:
        """The contacts that every scenario begins with."""
        for node in ast.walk(self.base):
            if isinstance(node, ast.Call):
                named = {k.arg: k.value for k in node.keywords}
                if ast.unparse(named.get("namespace", node.func)).endswith(".CONTACT"):
                    rows: Rows = value_of(named["rows"], {})
                    return rows
        raise DataError(f"ToolSandbox's base scenario has no contacts; get {SOURCE} again.")

    @functools.cached_property
    def told(self) -> str:
        """The agent's system message."""
        for node in ast.walk(self.base):
            if isinstance(node, ast.Dict) and "RoleType.AGENT" in map(ast.unparse, node.values):
                return str(value_of(node, {})["content"])
        raise DataError(f"ToolSandbox's base scenario tells the agent nothing; get {SOURCE} again.")

    @functools.cached_property
    def documents(self) -> Mapping[str, Mapping[str, Any]]:
        """Tools as the model sees them, by name."""
        files = ("setting", "contact", "user_tools")
        defined = {n: f for file in files for n, f in functions(module(f"tools/{file}.py")).items()}
        missing = sorted({*TOOLS, END} - set(defined))
        if missing:
            raise DataError(f"ToolSandbox's files define no {missing[0]}; get {SOURCE} again.")
        return {name: _document(defined[name]) for name in (*TOOLS, END)}


def _document(function: ast.FunctionDef) -> dict[str, Any]:
    """A function as a tool: its docstring before "Args:", and a line of it for each argument."""
    text = ast.get_docstring(function) or ""
    said, _, rest = text.partition("\n\nArgs:\n")
    about: dict[str, str] = {}
    for line in rest.partition("\n\n")[0].splitlines():
        name, colon, words = line.partition(":")
        if colon:
            about[name.strip()] = words.strip()
        elif about:
            about[next(reversed(about))] += f" {line.strip()}"
    given = function.args.args
    required = given[: len(given) - len(function.args.defaults)]
    properties = {a.arg: _parameter(a, about) for a in given}
    schema = {
        "type": "object",
        "properties": properties,
        "required": [a.arg for a in required],
    }
    about_all = {"name": function.name, "description": said.partition("\n\nReturns:")[0]}
    return {"type": "function", "function": {**about_all, "parameters": schema}}


def _parameter(argument: ast.arg, about: Mapping[str, str]) -> dict[str, str]:
    named = ast.walk(argument.annotation) if argument.annotation else ()
    kinds = [_TYPES[n.id] for n in named if isinstance(n, ast.Name) and n.id in _TYPES]
    return {"type": kinds[0] if kinds else "string", "description": about.get(argument.arg, "")}

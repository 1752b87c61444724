"""Python files of other projects, read as data: parsed, never imported and never run.

Some benchmarks publish their functions, prompts or items as Python. What they assign as literals can be
had without trusting them. Not here: which files a benchmark has, values that are computed.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from ..harness.errors import DataError

#: What `ast.literal_eval` raises of an expression that is no literal.
UNREAD = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)


def parsed(path: Path, again: str) -> ast.Module:
    """The syntax tree of a file.

    Args:
        again: one phrase that says how to get the file again.

    Raises:
        DataError: it is not readable Python.
    """
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"'{path}' is not readable Python ({error}); {again}.") from error


def literals(module: ast.Module) -> dict[str, Any]:
    """The literals that a module assigns to names; what is computed is left out."""
    found = {}
    for line in module.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            try:
                found[line.targets[0].id] = ast.literal_eval(line.value)
            except UNREAD:
                continue  # computed from other constants
    return found


def functions(module: ast.Module) -> dict[str, ast.FunctionDef]:
    """The functions that a module defines, by name."""
    return {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}

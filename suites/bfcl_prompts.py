"""The system message of BFCL's prompting mode: which functions there are, and how to call them.

The default wording is this project's own, since the official one is no part of the data; figures then
compare with each other and with no published one. Where the package bfcl-eval is installed, its wording
is read out of its source as data, without running it. Not here: native tool calling, which needs no
such message.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..harness.errors import DataError, UsageError
from ..harness.records import Message
from .bfcl_forms import CLASSIC, Form, Functions, documented
from .python_source import literals, parsed

INSTALL = (
    "run `pip install --no-deps bfcl-eval==2026.3.23` (its own dependencies are not needed and do not "
    "fit beside this package's)"
)
_OWN = """\
You answer requests by calling functions. Read the request and decide which calls fulfil it, one or \
several. Write nothing but the calls, as one list in Python's syntax with named arguments:
[first_function(first_parameter=value, second_parameter=value), second_function(parameter=value)]
Where none of the functions helps, or a value that a function needs is not given, make no call and say \
so in words.

A conversation can have several turns. Within a turn, go on calling functions until what the user asks \
in that turn is done; an answer without a call ends the turn.

The functions, in JSON:
"""


def own_system(functions: Functions) -> str:
    """The system message in this project's words."""
    return _OWN + json.dumps(functions, indent=4)


#: What the user says when functions that were missing become available, in this project's words.
MORE_FUNCTIONS = "There are more functions now. Try again with them."


def more_functions(functions: Functions) -> str:
    """The user's turn that brings missing functions in prompting mode."""
    return f"More functions, in JSON:\n{json.dumps(functions, indent=4)}\n\n{MORE_FUNCTIONS}"


def results_of(calls: Sequence[str], answers: Sequence[str]) -> str:
    """The user's turn that tells what calls answered in prompting mode."""
    pairs = zip(calls, answers, strict=True)
    return json.dumps([{"call": call, "result": answer} for call, answer in pairs])


def official_system(functions: Functions, form: Form = CLASSIC) -> str:
    """The system message in the words of the installed bfcl-eval.

    Raises:
        UsageError: bfcl-eval is not installed.
        DataError: its source does not hold the wording.
    """
    path = package_folder() / "constants" / "default_prompts.py"
    texts = _wording(path)
    try:
        style = texts["PROMPT_STYLE_TEMPLATES"][form.style]
        how = style["tool_call_with_tag" if form.tagged else "tool_call_no_tag"].format(
            output_format=texts["OUTPUT_FORMAT_MAPPING"][form.returns],
            param_types=texts["PARAM_TYPE_MAPPING"][form.returns],
        )
        listed = style["available_tools"].format(
            format=form.documents, functions=documented(functions, form.documents)
        )
        whole: str = texts[f"_{form.layout.upper()}_SYSTEM_PROMPT_TEMPLATE"].format(
            persona=style["persona"],
            task=style["task"],
            tool_call_format=how,
            multiturn_behavior=style["multiturn_behavior"],
            available_tools=listed,
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise DataError(f"'{path}' does not hold BFCL's prompts ({error!r}); {INSTALL}.") from error
    return whole


def memory_instruction(unified: bool, scenario: str, shown: str) -> str:
    """What a model with a memory is told, in the words of the installed bfcl-eval.

    Args:
        unified: whether the memory is one text, not a core and an archive.
        scenario: whom it serves, for example `student`.
        shown: what it sees of its memory.

    Raises:
        UsageError, DataError: see `official_system`.
    """
    texts = _wording(package_folder() / "constants" / "default_prompts.py")
    try:
        kind = "UNIFIED" if unified else "CORE_ARCHIVAL"
        setting = texts["MEMORY_AGENT_SETTINGS"][scenario]
        told: str = texts[f"MEMORY_BACKEND_INSTRUCTION_{kind}"].format(
            scenario_setting=setting, memory_content=shown
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise DataError(f"bfcl-eval does not hold its prompts ({error!r}); {INSTALL}.") from error
    return told


def answer_format() -> str:
    """How a model is told to answer a question about its memory; raises as `memory_instruction`."""
    texts = _wording(package_folder() / "constants" / "default_prompts.py")
    return str(texts["ADDITIONAL_SYSTEM_PROMPT_FOR_AGENTIC_RESPONSE_FORMAT"])


@functools.cache
def _wording(path: Path) -> Mapping[str, Any]:
    return literals(parsed(path, INSTALL))


def package_folder() -> Path:
    """Where the package bfcl_eval lies; it is not imported.

    Raises:
        UsageError: it is not installed.
    """
    found = importlib.util.find_spec("bfcl_eval")
    if found is None or not found.submodule_search_locations:
        raise UsageError(f"This needs the package bfcl-eval, which is not installed; {INSTALL}.")
    return Path(found.submodule_search_locations[0])


def with_system(system: str, turns: Sequence[Mapping[str, str]]) -> tuple[Message, ...]:
    """The turns after a system message; an item's own system message is appended to it."""
    messages = [Message(turn["role"], turn["content"]) for turn in turns]
    if messages and messages[0].role == "system":
        system = f"{system}\n\n{messages.pop(0).content}"
    return (Message("system", system), *messages)

"""Whether function calls are the wanted ones: the AST check of BFCL (V4).

Follows the rules of the Berkeley Function-Calling Leaderboard's AST check (Apache-2.0, Patil et al.
2025) in their order: name, required parameters, then per argument its type and its value, then
parameters left out. Error names are BFCL's. Not here: reading calls out of an answer
(bfcl_decode.py), what Java and JavaScript values are in Python (bfcl_values.py), executing anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..harness.records import ToolCall, clean_text
from .bfcl_values import JAVA_TYPES, JAVASCRIPT_TYPES, java_value, javascript_value

#: One call: the function's name and its arguments.
Call: TypeAlias = Mapping[str, Mapping[str, Any]]
#: Accepted values of each parameter; "" among them means that it may be left out.
Accepted: TypeAlias = Mapping[str, Sequence[Any]]

#: The language that a function is documented in.
Language: TypeAlias = Literal["python", "java", "javascript"]

PYTHON_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
TYPES: Mapping[Language, Mapping[str, type]] = {
    "python": PYTHON_TYPES,
    "java": JAVA_TYPES,
    "javascript": JAVASCRIPT_TYPES,
}
#: Documented types whose elements have a documented type too.
NESTED = ("array", "tuple", "Array", "ArrayList")
_IGNORED = re.compile(r"[ ,./\-_*^]")


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on an answer's calls."""

    error: str | None = None
    """BFCL's name of the first error; None: the call is right."""

    @property
    def valid(self) -> bool:
        """Whether the call is the wanted one."""
        return self.error is None


RIGHT = Finding()


def json_calls(text: str) -> list[Call] | None:
    """The calls in a JSON answer: one `{"name": .., "arguments": {..}}` or a list of them.

    Returns None where the text is anything else; an empty list is no call either.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    calls: list[Call] = []
    for entry in found if isinstance(found, list) else [found]:
        if not isinstance(entry, dict):
            return None
        name, arguments = entry.get("name"), entry.get("arguments")
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return None
        calls.append({name: arguments})
    return calls


def native_calls(made: Sequence[ToolCall]) -> list[Call] | None:
    """Calls that a model made in its own format; None where one's arguments are no JSON object."""
    calls: list[Call] = []
    for call in made:
        try:
            arguments = json.loads(call.arguments)
        except (ValueError, RecursionError):
            return None
        if not isinstance(arguments, dict):
            return None
        calls.append({call.name: arguments})
    return calls


def clean_call(made: ToolCall) -> ToolCall:
    """A call as a later turn can show it: texts that models can be asked, and no lone surrogates."""
    return ToolCall(clean_text(made.name), clean_text(made.arguments), clean_text(made.id))


def check_calls(
    calls: Sequence[Call],
    function: Mapping[str, Any],
    accepted: Accepted,
    *,
    offered: int = 1,
    language: Language = "python",
) -> Finding:
    """Check an answer that should hold exactly one call.

    Args:
        calls: what the model called.
        function: the wanted function's document (name, parameters with properties and required).
        accepted: the accepted values of each of its parameters.
        offered: how many functions were on offer; only changes an error's name.
        language: what the function is documented in.
    """
    if len(calls) != 1:
        family = "simple_function_checker" if offered == 1 else "multiple_function_checker"
        return Finding(f"{family}:wrong_count")
    return check_call(calls[0], function, accepted, language)


def check_unordered(
    calls: Sequence[Call], wanted: Sequence[tuple[Mapping[str, Any], Accepted]]
) -> Finding:
    """Check an answer that should hold several calls, in any order.

    Each wanted call takes the first call left that passes; nothing is taken back, so the verdict can
    depend on the order of the calls where several wanted ones accept the same, as in the reference.

    Args:
        calls: what the model called.
        wanted: document and accepted values of each wanted call.
    """
    family = "parallel_function_checker_no_order"
    if len(calls) != len(wanted):
        return Finding(f"{family}:wrong_count")
    left = list(calls)
    for function, accepted in wanted:
        fits = (n for n, call in enumerate(left) if check_call(call, function, accepted).valid)
        taken = next(fits, None)
        if taken is None:
            return Finding(f"{family}:cannot_find_match")
        del left[taken]
    return RIGHT


def check_call(
    call: Call, function: Mapping[str, Any], accepted: Accepted, language: Language = "python"
) -> Finding:
    """Check one call against one function; other names beside the right one are ignored."""
    parameters = function["parameters"]
    if function["name"] not in call:
        return Finding("simple_function_checker:wrong_func_name")
    given = call[function["name"]]
    if any(name not in given for name in parameters.get("required", ())):
        return Finding("simple_function_checker:missing_required")
    for name, value in given.items():
        if name not in parameters["properties"] or name not in accepted:
            return Finding("simple_function_checker:unexpected_param")
        error = _argument_error(value, parameters["properties"][name], accepted[name], language)
        if error:
            return Finding(error)
    if any(name not in given and "" not in values for name, values in accepted.items()):
        return Finding("simple_function_checker:missing_optional")
    return RIGHT


def _argument_error(
    value: Any, document: Mapping[str, Any], accepted: Sequence[Any], language: Language
) -> str | None:
    named, types = document["type"], TYPES[language]
    wanted = types[named]
    inner = document["items"]["type"] if named in NESTED else None
    items = types[inner] if inner else None
    if language == "python":
        value = _widened(value, named)
    elif type(value) is not str:
        return "type_error:java" if language == "java" else "type_error:js"
    else:
        read = java_value if language == "java" else javascript_value
        value = read(value, named, inner)
    error, variable = _type_error(value, accepted, wanted, items)
    if error:
        return error
    if variable:
        return None if value in accepted else "value_error:others"
    return _value_error(value, accepted, wanted, items)


def _widened(value: Any, named: str) -> Any:
    """A tuple as the list that JSON makes of it, and an integer where a float is wanted."""
    if named == "tuple" and type(value) is tuple:
        return list(value)
    if named == "float" and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return value
    return value


def _type_error(
    value: Any, accepted: Sequence[Any], wanted: type, items: type | None
) -> tuple[str | None, bool]:
    """The type error, and whether the gold has another type than the document (a "variable")."""
    gold: type | None = next((type(a) for a in accepted if a != ""), None)
    if type(value) is wanted:
        if items is None or any(_items_fit(value, a, items) for a in accepted):
            return None, gold not in (None, wanted)
        return "type_error:nested", False
    if gold is not None and type(value) is gold:
        return None, True
    return "type_error:simple", False


def _items_fit(values: Any, gold: Any, wanted: type) -> bool:
    """Whether every element has the element type; gold that is no list decides nothing."""
    return type(gold) is not list or all(
        _type_error(value, gold, wanted, None)[0] is None for value in values
    )


def _value_error(
    value: Any, accepted: Sequence[Any], wanted: type, items: type | None
) -> str | None:
    if wanted is dict:
        return _dict_error(value, accepted)
    if wanted is list and items is dict:
        return _dicts_error(value, accepted)
    if wanted is str:
        fits = _folded(value) in [_folded(a) for a in accepted if isinstance(a, str)]
        return None if fits else "value_error:string"
    if wanted is list:
        fits = [_folded(v) for v in value] in [[_folded(v) for v in a] for a in accepted]
        return None if fits else "value_error:list/tuple"
    return None if value in accepted else "value_error:others"


def _dict_error(value: Mapping[str, Any], accepted: Sequence[Any]) -> str | None:
    """None when one accepted dict fits, else the error against the last one."""
    error: str | None = "dict_checker:unclear"
    for gold in accepted:
        if gold == "":
            continue
        error = _one_dict_error(value, gold)
        if error is None:
            return None
    return error


def _one_dict_error(value: Mapping[str, Any], gold: Mapping[str, Sequence[Any]]) -> str | None:
    for key, entry in value.items():
        if key not in gold:
            return "value_error:dict_key"
        if _folded(entry) not in [_folded(a) for a in gold[key]]:
            return "value_error:dict_value"
    missing = any(key not in value and "" not in values for key, values in gold.items())
    return "value_error:dict_key" if missing else None


def _dicts_error(values: Sequence[Any], accepted: Sequence[Any]) -> str | None:
    error: str | None = "list_dict_checker:unclear"
    for gold in accepted:
        if len(values) != len(gold):
            error = "value_error:list_dict_count"
            continue
        errors = (
            _dict_error(v, [g]) if isinstance(v, Mapping) else "type_error:nested"
            for v, g in zip(values, gold, strict=True)
        )
        error = next((e for e in errors if e), None)
        if error is None:
            return None
    return error


def _folded(value: Any) -> Any:
    """Strings without spaces and light punctuation, lower case, one kind of quote; others as is."""
    if not isinstance(value, str):
        return value
    return _IGNORED.sub("", value).lower().replace("'", '"')

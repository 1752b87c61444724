"""Calls in the forms of BFCL's format sensitivity: Python, JSON and two kinds of XML, marked or not.

Follows the decoders of bfcl_eval @ 6ea57973 with their odd rules: JSON is read from the first bracket
with a brace behind it to the first brace with a bracket behind it, so a list of dicts inside of an
argument ends it; JSON that cannot be read is no call at all, rather than a failure; XML values are
converted by the type that the answer itself names. The first marked or tagged part counts.

Here an answer of more than `LONGEST` characters is no call. Not here: the default form (bfcl_decode.py).
"""

from __future__ import annotations

import ast
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .bfcl_decode import LONGEST, UNREADABLE, NotCalls, bracketed, python_calls
from .bfcl_forms import Form, Returns
from .function_calls import Call

_JSON_BEGINS = re.compile(r"\[\s*+\{")
_JSON_ENDS = re.compile(r"\}\s*+\]")


def calls_in(text: str, form: Form) -> list[dict[Any, Any]]:
    """The calls in an answer, as one-key dicts from name to arguments.

    Raises:
        NotCalls: the answer is anything else.
    """
    if len(text) > LONGEST["python"]:
        raise NotCalls(f"{len(text)} characters, at most {LONGEST['python']} are read")
    text = bracketed(text)
    if form.tagged:
        text = _between(text, "<TOOLCALL>", "</TOOLCALL>").strip()
    try:
        calls = _READERS[form.returns](text)
    except (*UNREADABLE, KeyError, ET.ParseError) as error:
        raise NotCalls(f"{type(error).__name__}: {str(error)[:200]}") from None
    if not all(isinstance(arguments, dict) for call in calls for arguments in call.values()):
        raise NotCalls("arguments that are not given by name")
    return calls


def _between(text: str, opened: str, closed: str) -> str:
    start = text.find(opened)
    end = text.find(closed, start + len(opened))
    if start < 0 or end < 0:
        raise NotCalls(f"no {opened} that is closed")
    return text[start + len(opened) : end]


def _json(text: str) -> list[dict[Any, Any]]:
    start, end = text.find("["), text.rfind("]")
    if 0 <= start < end:
        text = text[start : end + 1]
    begins = _JSON_BEGINS.search(text)
    ends = _JSON_ENDS.search(text, begins.end()) if begins else None
    if begins and ends:
        text = text[begins.start() : ends.end()]
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return []
    return [{call["function"]: call["parameters"]} for call in found if isinstance(call, dict)]


def _functions(text: str) -> ET.Element:
    inside = _between(text, "<functions>", "</functions>")
    return ET.fromstring(f"<functions>{inside}</functions>")


def _verbose_xml(text: str) -> list[dict[Any, Any]]:
    calls = []
    for function in _functions(text).findall("function"):
        inside = function.find("params")
        given = (function if inside is None else inside).findall("param")
        arguments = {
            p.attrib.get("name"): _converted(p.attrib.get("value", ""), p.attrib.get("type"))
            for p in given
        }
        calls.append({function.attrib["name"]: arguments})
    return calls


def _concise_xml(text: str) -> list[dict[Any, Any]]:
    calls = []
    for function in _functions(text).findall("function"):
        arguments = {
            p.attrib["name"]: _converted((p.text or "").strip(), p.attrib.get("type"))
            for p in function.findall("param")
        }
        calls.append({function.attrib["name"]: arguments})
    return calls


def _converted(text: str, kind: str | None) -> Any:
    """A value by the type that the answer gives it; unknown types are texts."""
    match kind:
        case "integer":
            return int(text)
        case "float":
            return float(text)
        case "boolean":
            return text.lower() == "true"
        case "null":
            return None
        case "array" | "tuple" | "object" | "dict":
            return ast.literal_eval(text)
    return text


_READERS: Mapping[Returns, Callable[[str], list[dict[Any, Any]]]] = {
    "python": python_calls,
    "json": _json,
    "verbose_xml": _verbose_xml,
    "concise_xml": _concise_xml,
}


def written(calls: Sequence[Call], form: Form) -> str:
    """Calls as the form asks for them."""
    named = [(name, given) for call in calls for name, given in call.items()]
    match form.returns:
        case "python":
            shown = (f"{n}({', '.join(f'{k}={v!r}' for k, v in g.items())})" for n, g in named)
            text = f"[{', '.join(shown)}]"
        case "json":
            text = json.dumps([{"function": n, "parameters": g} for n, g in named])
        case _:
            text = ET.tostring(_tree(named, form.returns), encoding="unicode")
    return f"<TOOLCALL>{text}</TOOLCALL>" if form.tagged else text


def _tree(named: Sequence[tuple[str, Mapping[str, Any]]], returns: Returns) -> ET.Element:
    root = ET.Element("functions")
    for name, given in named:
        function = ET.SubElement(root, "function", name=name)
        verbose = returns == "verbose_xml"
        parent = ET.SubElement(function, "params") if verbose else function
        for key, value in given.items():
            kind = next((k for t, k in _KINDS.items() if type(value) is t), "string")
            parameter = ET.SubElement(parent, "param", name=key, type=kind)
            said = value if isinstance(value, str) else repr(value)
            if verbose:
                parameter.set("value", said)
            else:
                parameter.text = said
    return root


_KINDS: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "float",
    list: "array",
    tuple: "tuple",
    dict: "dict",
}

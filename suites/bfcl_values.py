"""What a value written in Java or JavaScript is in Python, by the rules of BFCL's AST check.

In these two languages BFCL takes every argument as source text and converts it by the documented type
(Patil et al. 2025; V4). A text that is not of the type stays a text, which then fails on its type.
Elements are cut at every comma, also inside of quotes, as in the reference. A text of more than
`LONGEST` characters stays a text, so that hostile values cost nothing. Not here: reading a call out of
an answer (bfcl_decode.py), comparing values (function_calls.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

#: Longest text that is converted, in characters; the longest accepted value has a few hundred.
LONGEST = 10_000

JAVA_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("byte", "short", "integer", "long"), int),
    **dict.fromkeys(("float", "double"), float),
    **dict.fromkeys(("char", "String", "any"), str),
    **dict.fromkeys(("Array", "ArrayList"), list),
    "boolean": bool,
    "HashMap": dict,
}
JAVASCRIPT_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("integer", "Bigint"), int),
    **dict.fromkeys(("String", "any"), str),
    "float": float,
    "Boolean": bool,
    "dict": dict,
    "array": list,
}


@dataclass(frozen=True, slots=True)
class _Number:
    """How a kind of number is written, and what it becomes."""

    pattern: re.Pattern[str]
    read: Callable[[str], Any]
    suffixed: bool = False
    """Whether a letter stands behind it."""


Numbers: TypeAlias = Mapping[str, _Number]
_WHOLE = _Number(re.compile(r"-?\d+$"), int)
_LONG = _Number(re.compile(r"-?\d+[lL]$"), int, suffixed=True)
_FLOAT = _Number(re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?[fF]$"), float, suffixed=True)
_DOUBLE = _Number(re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?$"), float)
_JAVA_NUMBERS: Numbers = {
    **dict.fromkeys(("byte", "short", "integer"), _WHOLE),
    "long": _LONG,
    "float": _FLOAT,
    "double": _DOUBLE,
}
_JS_NUMBERS: Numbers = {
    "integer": _WHOLE,
    "float": _Number(re.compile(r"-?\d+(\.\d+)?$"), float),
    "Bigint": _Number(re.compile(r"-?\d+n$"), int, suffixed=True),
}
_AS_LIST = re.compile(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)")
_LIST_OPENED = re.compile(r"new\s+ArrayList<\w*>\(\)\s*\{\{\s*")
_ADD = re.compile(r"add\((.+?)\)")
_LIST_EMPTY = re.compile(r"new\s+ArrayList<\w*>\(\)")
_ARRAY = re.compile(r"new\s+\w+\[\]\s*\{(.*?)\}")
_MAP_OPENED = re.compile(r"new\s+HashMap<.*?>\s*\(\)\s*\{\s*\{?\s*", re.DOTALL)
_MAP_EMPTY = re.compile(r"new\s+HashMap<.*?>\s*\(\)")
_PUT = re.compile(r'put\("((?>[^"\n]*+(?:"(?!,)[^"\n]*+)*+))",\s*+([^)\n]*+)\)')

_JS_ARRAY = re.compile(r"\[(.*?)\]|\bnew\s+Array\((.*?)\)")
_JS_TABLE = re.compile(r"(?:\[|new\s+Array\()\s*\[")
_JS_OBJECT = re.compile(r"\{(.*?)\}")
_JS_NEXT_PAIR = re.compile(r"(.*?)(?:,\s*(?=[^,]+:)|$)")


def java_value(text: str, kind: str, items: str | None = None) -> Any:
    """A Java expression as the documented type, or the text itself where it is none of it.

    Args:
        text: source text of the argument.
        kind: documented type, a key of JAVA_TYPES.
        items: documented type of the elements of an Array or ArrayList.
    """
    if len(text) > LONGEST or kind not in JAVA_TYPES:
        return text
    if kind in ("Array", "ArrayList", "HashMap"):
        collections: Mapping[str, Callable[[str, str | None], Any]]
        collections = {"Array": _java_array, "ArrayList": _java_list, "HashMap": _java_map}
        return collections[kind](text, items)
    return _scalar(text, kind, _JAVA_NUMBERS)


def _scalar(text: str, kind: str, numbers: Numbers) -> Any:
    """A number or a boolean of a language, or the text itself where it is none."""
    if kind in numbers and numbers[kind].pattern.match(text):
        own = numbers[kind]
        return _number(text.rstrip("\n")[:-1] if own.suffixed else text, own.read)
    if kind in ("boolean", "Boolean") and text in ("true", "false"):
        return text == "true"
    return text


def _number(text: str, kind: Callable[[str], Any]) -> Any:
    """The number; a text of more digits than Python converts stays a text."""
    try:
        return kind(text)
    except ValueError:
        return text


def _java_array(text: str, items: str | None) -> Any:
    found = _ARRAY.search(text)
    if not found:
        return text
    parts = (part.strip() for part in found[1].split(","))
    return [java_value(part, items) if items else _java_guess(part) for part in parts if part]


def _java_list(text: str, items: str | None) -> Any:
    def element(part: str) -> Any:
        if items in ("char", "String"):
            return part[1:-1]
        return java_value(part, items) if items else _java_guess(part)

    if found := _AS_LIST.search(text):
        return [element(part.strip()) for part in found[1].split(",")]
    opened = _LIST_OPENED.search(text)
    if opened and (end := text.find("}}", opened.end())) >= 0:
        return [element(part.strip()) for part in _ADD.findall(text[opened.end() : end])]
    return [] if _LIST_EMPTY.search(text) else text


def _java_map(text: str, items: str | None) -> Any:  # noqa: ARG001 - one signature for collections
    opened = _MAP_OPENED.search(text)
    if opened and (end := text.find("}", opened.end())) >= 0:
        puts = _PUT.findall(text[opened.end() : end])
        return {key: _java_guess(value.strip()) for key, value in puts}
    return {} if _MAP_EMPTY.search(text) else text


def _java_guess(text: str) -> Any:
    """A value whose type nothing documents."""
    for number in (_LONG, _FLOAT):
        if number.pattern.match(text):
            return _number(text[:-1], number.read)
    return _guess(text, '"')


def _guess(text: str, quotes: str) -> Any:
    """A boolean, a quoted text without its quotes, a number, or the text."""
    if text in ("true", "false"):
        return text == "true"
    if any(text.startswith(quote) and text.endswith(quote) for quote in quotes):
        return text[1:-1]
    whole = _number(text, int)
    return _number(text, float) if isinstance(whole, str) else whole


def javascript_value(text: str, kind: str, items: str | None = None) -> Any:
    """A JavaScript expression as the documented type, or the text itself where it is none of it.

    Args:
        text: source text of the argument.
        kind: documented type, a key of JAVASCRIPT_TYPES.
        items: documented type of the elements of an array.
    """
    if len(text) > LONGEST:
        return text
    if kind == "array":
        return _js_array(text.strip(), items)
    if kind == "dict":
        return _js_object(text.strip())
    if kind == "String":
        return text[1:-1] if _quoted(text) else text
    return _scalar(text, kind, _JS_NUMBERS)


def _quoted(text: str) -> bool:
    return any(text.startswith(quote) and text.endswith(quote) for quote in "\"'")


def _js_guess(text: str) -> Any:
    return _guess(text.strip(), "\"'")


def _js_array(text: str, items: str | None) -> Any:
    table = _js_table(text)
    if table is not None:
        rows = re.findall(r"\[(.*?)\]", table)
        rows[0] = rows[0].strip().removeprefix("[")
        return [[_js_guess(part) for part in row.strip().split(",")] for row in rows]
    found = _JS_ARRAY.match(text)
    if not found:
        return text
    inside = (found[2] if found[1] is None else found[1]).strip()
    if items is not None and items not in JAVASCRIPT_TYPES:
        return text
    parts = [part.strip() for part in inside.split(",")] if inside else []
    return [javascript_value(part, items) if items else _js_guess(part) for part in parts]


def _js_table(text: str) -> str | None:
    """The part of `[[..], [..]]` or `new Array([..], [..])` up to where the outer bracket closes."""
    opened = _JS_TABLE.match(text)
    if not opened:
        return None
    closing = "]" if text.startswith("[") else ")"
    start = opened.end()
    while (end := text.find("]", start)) >= 0 and "\n" not in text[start:end]:
        after = text[end + 1 :].lstrip()
        at = len(text) - len(after)
        if after.startswith(closing):
            return text[: at + 1]
        next_row = after[1:].lstrip() if after.startswith(",") else ""
        start = len(text) - len(next_row) + 1 if next_row.startswith("[") else end + 1
    return None


def _js_object(text: str) -> Any:
    if text == "{}":
        return {}
    found = _JS_OBJECT.match(text)
    if not found:
        return text
    inside, at, entries = found[1], 0, {}
    while (colon := inside.find(":", at)) >= 0:
        key = inside[at:colon]
        pair = _JS_NEXT_PAIR.match(inside, len(inside) - len(inside[colon + 1 :].lstrip()))
        at = pair.end() if pair and key else colon + 1
        if pair and key:
            entries[key.strip().strip("'\"")] = _js_entry(pair[1].strip())
    return entries


def _js_entry(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return _js_array(text, None)
    return _js_guess(text.strip("'\""))

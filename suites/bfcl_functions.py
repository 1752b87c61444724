"""BFCL's function documents as a model is shown them: with hints, and as tools of a chat API.

Documents use Python's names of types, and Java's and JavaScript's own. A model is told the language of
each function; the parameters of the latter two become strings whose type stands in the description.
The texts of these hints are part of the benchmark (Patil et al. 2025; V4). Not here: the documents
that answers are checked against, which stay as the files have them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .function_calls import Language

_SYNTAX: Mapping[Language, str] = {
    "python": "Python 3",
    "java": "Java 8 SDK",
    "javascript": "JavaScript",
}
_NAMES: Mapping[Language, str] = {"java": "Java", "javascript": "JavaScript"}
_LISTS = ("Array", "ArrayList", "array")

#: Documented types as JSON Schema names them; any other is a string.
SCHEMA_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("integer", "byte", "short", "long", "Bigint"), "integer"),
    **dict.fromkeys(("number", "float", "double"), "number"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("array", "list", "tuple", "ArrayList", "Array", "Queue", "Stack"), "array"),
    **dict.fromkeys(("dict", "object", "HashMap", "Hashtable"), "object"),
}


def hinted(document: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """A function document with the language's hints."""
    hint = f" Note that the provided function is in {_SYNTAX[language]} syntax."
    parameters = dict(document["parameters"])
    if language != "python":
        parameters["properties"] = {
            name: _as_string(entry, language) for name, entry in parameters["properties"].items()
        }
    return {
        **document,
        "description": document.get("description", "") + hint,
        "parameters": parameters,
    }


def _as_string(entry: Mapping[str, Any], language: Language) -> dict[str, Any]:
    kind, name = entry["type"], _NAMES[language]
    text = entry.get("description", "") + (
        f" This parameter can be of any type of {name} object in string representation."
        if kind == "any"
        else f" This is {name} {kind} type parameter in string representation."
    )
    kept = dict(entry)
    if kind in _LISTS:
        inner = kept.pop("items")["type"]
        text += f" The list elements are of type {inner}; they are not in string representation."
    if kind == "dict" and "properties" in kept:
        inner = json.dumps(kept.pop("properties"))
        text += (
            " The dictionary entries have the following schema; they are not in string "
            f"representation. {inner}"
        )
    return {**kept, "description": text, "type": "string"}


def native_name(name: str) -> str:
    """A function's name where names must match [a-zA-Z0-9_-]."""
    return name.replace(".", "_")


def tools(documents: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Function documents as tools in the form of OpenAI's chat API."""
    return tuple(
        {
            "type": "function",
            "function": {
                **document,
                "name": native_name(document["name"]),
                "parameters": _schema({**document["parameters"], "type": "dict"}),
            },
        }
        for document in documents
    )


def _schema(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's document in JSON Schema, with the parameters and elements inside it."""
    named = entry.get("type", "string")
    shown = {**entry, "type": SCHEMA_TYPES.get(named, "string")}
    if named == "float":
        shown["format"] = "float"
        shown["description"] = entry.get("description", "") + " This is a float type value."
    if isinstance(entry.get("properties"), Mapping):
        inner = entry["properties"].items()
        shown["properties"] = {name: _schema(value) for name, value in inner}
    if isinstance(entry.get("items"), Mapping):
        shown["items"] = _schema(entry["items"])
    return shown

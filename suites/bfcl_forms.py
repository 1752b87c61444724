"""The 26 forms in which BFCL V4 asks for calls to see how much a model's figure depends on the form.

A form says how functions are documented, how calls are to be written, whether between marks, and in which
layout and wording the whole is told (Patil et al. 2025; `get_all_format_sensitivity_configs` of
bfcl_eval @ 6ea57973). Four ways to write calls, marked or not, and three kinds of documents, and two more
that change layout and wording. Not here: the words (bfcl_prompts.py), reading calls
(bfcl_form_calls.py), which items are asked (bfcl_format_sensitivity.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, TypeAlias, get_args

Returns: TypeAlias = Literal["python", "json", "verbose_xml", "concise_xml"]
Documents: TypeAlias = Literal["python", "xml", "json"]
Functions: TypeAlias = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Form:
    """One way to ask."""

    returns: Returns = "python"
    """How calls are to be written."""
    tagged: bool = False
    """Whether calls stand between <TOOLCALL> marks."""
    documents: Documents = "json"
    """How functions are documented."""
    layout: Literal["plaintext", "markdown"] = "plaintext"
    style: Literal["classic", "experimental"] = "classic"

    @property
    def name(self) -> str:
        """BFCL's name of the form."""
        return (
            f"ret_fmt={self.returns}&tool_call_tag={self.tagged}&func_doc_fmt={self.documents}"
            f"&prompt_fmt={self.layout}&style={self.style}"
        )


CLASSIC = Form()
#: In BFCL's order.
FORMS: tuple[Form, ...] = (
    *(Form(*parts) for parts in product(get_args(Returns), (True, False), get_args(Documents))),
    replace(CLASSIC, layout="markdown"),
    replace(CLASSIC, style="experimental"),
)


def documented(functions: Functions, kind: Documents) -> str:
    """Function documents as a model is shown them."""
    if kind == "json":
        return json.dumps(functions, indent=4)
    written = _xml if kind == "xml" else _python
    return ("\n" if kind == "xml" else "\n\n").join(written(function) for function in functions)


def _xml(function: Mapping[str, Any]) -> str:
    schema = function["parameters"]
    inside = _xml_parameters(schema, 2)
    return (
        f'<function name="{function["name"]}">\n  <desc>{function.get("description", "")}</desc>\n'
        f"  <params>\n{inside}  </params>\n</function>\n"
    )


def _xml_parameters(schema: Mapping[str, Any], level: int) -> str:
    """The parameters of a schema, each with those inside it; without a list all are required."""
    required, given = schema.get("required"), schema.get("properties", {})
    return "".join(
        _xml_parameter(name, entry, required is None or name in required, level)
        for name, entry in given.items()
    )


def _xml_parameter(name: str, entry: Mapping[str, Any], required: bool, level: int) -> str:
    indent, kind = "  " * level, entry.get("type", "string")
    if "type" in entry.get("items", ()):
        kind = f"{kind}[{entry['items']['type']}]"
    elif "additionalProperties" in entry:
        kind = f"{kind}[{entry['additionalProperties'].get('type', 'string')}]"
    default = f' default="{entry["default"]!r}"' if "default" in entry else ""
    opened = f'name="{name}" type="{kind}" required="{str(required).lower()}"{default}'
    # BFCL drops every comma between the angle brackets, those inside of values too.
    text = (
        f"{indent}<param {opened.replace(',', '')}>\n{indent}  <desc>{_described(entry)}</desc>\n"
    )
    if "properties" in entry:
        inside = _xml_parameters(entry, level + 2)
        text += f"{indent}  <params>\n{inside}{indent}  </params>\n"
    return f"{text}{indent}</param>\n"


def _described(entry: Mapping[str, Any]) -> str:
    choices = f" Enum values: {entry['enum']}." if "enum" in entry else ""
    return f"{entry.get('description', '')}{choices}"


def _python(function: Mapping[str, Any]) -> str:
    text = f'# Function: {function["name"]}\n    """\n    {function.get("description", "")}\n\n'
    given = function.get("parameters", {}).get("properties", {})
    if given:
        text += "    Args:\n" + "".join(_python_parameters(given, 0))
    return text + '    """\n\n\n\n'


def _python_parameters(given: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name, entry in given.items():
        default = f", default={entry['default']!r}" if "default" in entry else ""
        indent = " " * (8 + 4 * depth)
        yield f"{indent}{name} ({_python_type(entry)}{default}): {_described(entry)}\n"
        yield from _python_parameters(entry.get("properties", {}), depth + 1)


_PYTHON_TYPES = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"}


def _python_type(entry: Mapping[str, Any]) -> str:
    kind: str = entry.get("type", "string")
    if kind in ("array", "list", "tuple") and "items" in entry:
        return f"list[{_python_type(entry['items'])}]"
    if kind in ("object", "dict"):
        inner = entry.get("additionalProperties")
        return "dict" if inner is None else f"dict[str, {_python_type(inner)}]"
    return _PYTHON_TYPES.get(kind, kind)

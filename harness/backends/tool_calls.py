"""Calls that a model wrote in its own format, read out of the text it answered with.

Each family marks calls in its own way, and only its chat template tells which: the format is recognised
by the marks that stand in the template, never guessed from an answer. What is marked as a call and is
none stays text. Known: `<tool_call>` around JSON (Hermes, Qwen 2.5 and 3), `[TOOL_CALLS]` before JSON or
before names with `[ARGS]` (Mistral), JSON with `parameters` after an optional `<|python_tag|>` (Llama
3), `<|call|>` before JSON, and JSON alone where the template says so in a comment `{# calls: json #}`.
Not here: servers, which read calls themselves (openai.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..records import Generate, Request, ToolCall
from .stopping import Speech

#: What is left of an answer's text, and its calls.
Reading = tuple[str, tuple[ToolCall, ...]]

_HERMES = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_MISTRAL = "[TOOL_CALLS]"
_NAMED = re.compile(r"\s*([^\[\]{}\s]+)\s*(?:\[CALL_ID\][^\[\]{}\s]*)?\[ARGS\]")
_PYTHON_TAG = "<|python_tag|>"
_CALL = "<|call|>"
_JSON = re.compile(r"\{#-?\s*calls: json\s*-?#\}")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class CallFormat:
    """How one family writes calls."""

    name: str
    read: Callable[[str], Reading]
    marks: tuple[str, ...] = ()
    """Special tokens that must not be dropped from the text before it is read."""


def call_format(template: str | dict[str, str] | None) -> CallFormat | None:
    """The format that a chat template teaches; None where it takes no tools or none is recognised.

    Args:
        template: a tokenizer's, or its templates by name, of which `tool_use` is the one for tools.
    """
    if isinstance(template, dict):
        template = template.get("tool_use") or template.get("default")
    if not template or "tools" not in template:
        return None
    known = [form for applies, form in _FORMATS if applies(template)]
    return known[0] if len(known) == 1 else None


class Caller:
    """Turns what one model generated into text and calls.

    Args:
        tokenizer: its own.
        name: of the checkpoint, for messages.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.name = name
        self.format = call_format(tokenizer.chat_template)
        self.plain = Speech(tokenizer)
        marks = self.format.marks if self.format else ()
        self.marked = Speech(tokenizer, marks) if marks else self.plain

    def speech(self, request: Request) -> Speech:
        """Marks of calls are part of the text only where functions are on offer."""
        return self.marked if _offers(request) else self.plain

    def check(self, request: Request) -> None:
        """Refuse functions on offer to a model whose calls could not be read.

        Raises:
            UsageError: the chat template takes none, or teaches a format that is not known.
        """
        if _offers(request) and self.format is None:
            raise UsageError(
                f"The chat template of '{self.name}' teaches no known format of tool calls; use a suite "
                "in prompting mode, or a server that reads this model's calls."
            )

    def read(self, request: Request, text: str) -> Reading:
        """The answer without its calls, and the calls; all of it text where no function was offered."""
        if self.format is None or not _offers(request):
            return text, ()
        return self.format.read(text)


def _offers(request: Request) -> bool:
    return isinstance(request, Generate) and bool(request.tools)


def _entries(text: str) -> Iterator[Any]:
    """JSON values that follow each other, with blanks, commas or semicolons between.

    Raises:
        ValueError, RecursionError: there is something else.
    """
    at = 0
    while at < len(text):
        if text[at] in ",; \t\r\n":
            at += 1
            continue
        found, at = _DECODER.raw_decode(text, at)
        yield from found if isinstance(found, list) else [found]


def _call(entry: Any, key: str) -> ToolCall:
    """One JSON object as a call.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or key not in entry:
        raise ValueError("no call")
    given = entry[key]
    return ToolCall(entry["name"], given if isinstance(given, str) else json.dumps(given))


def _json_calls(text: str, key: str = "arguments") -> list[ToolCall]:
    """The calls of a text that holds nothing else; none where it holds anything else."""
    try:
        return [_call(entry, key) for entry in _entries(text)]
    except (ValueError, RecursionError):
        return []


def _numbered(text: str, calls: Sequence[ToolCall]) -> Reading:
    """Calls with ids by their place, of the nine characters that Mistral's templates ask for."""
    named = (ToolCall(c.name, c.arguments, f"call{n:05d}") for n, c in enumerate(calls))
    return text, tuple(named)


def _hermes(text: str) -> Reading:
    calls: list[ToolCall] = []

    def taken(found: re.Match[str]) -> str:
        own = _json_calls(found[1])
        calls.extend(own)
        return "" if own else found[0]

    rest = _HERMES.sub(taken, text)
    return _numbered(rest.strip() if calls else text, calls)


def _marked(mark: str) -> Callable[[str], Reading]:
    """Text, then the mark, then JSON to the end; the mark may stand before every call."""

    def read(text: str) -> Reading:
        before, found, after = text.partition(mark)
        calls = _json_calls(after.replace(mark, " ")) if found else []
        return _numbered(before.strip() if calls else text, calls)

    return read


def _llama(text: str) -> Reading:
    calls = _json_calls(text.strip().removeprefix(_PYTHON_TAG), "parameters")
    return _numbered("" if calls else text, calls)


def _alone(text: str) -> Reading:
    calls = _json_calls(text)
    return _numbered("" if calls else text, calls)


def _mistral_named(text: str) -> Reading:
    """Text, then for each call the mark, its name, `[ARGS]` and a JSON object."""
    before, *parts = text.split(_MISTRAL)
    calls = []
    for part in parts:
        named = _NAMED.match(part)
        if not named or not _is_json(part[named.end() :]):
            return _numbered(text, ())
        calls.append(ToolCall(named[1], part[named.end() :].strip()))
    return _numbered(before.strip() if calls else text, calls)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _has_hermes(template: str) -> bool:
    """JSON between the marks; some families write XML there."""
    return "<tool_call>" in template and not any(
        other in template for other in ("<function=", "<arg_key>")
    )


def _has_llama(template: str) -> bool:
    """Llama 3.1's mark, or the sentence in which 3.1 to 3.3 ask for JSON."""
    return _PYTHON_TAG in template or '"parameters": dictionary of argument name' in template


_FORMATS: Sequence[tuple[Callable[[str], bool], CallFormat]] = (
    (_has_hermes, CallFormat("hermes", _hermes, ("<tool_call>", "</tool_call>"))),
    (
        lambda t: _MISTRAL in t and "[ARGS]" not in t,
        CallFormat("mistral", _marked(_MISTRAL), (_MISTRAL,)),
    ),
    (
        lambda t: _MISTRAL in t and "[ARGS]" in t,
        CallFormat("mistral-named", _mistral_named, (_MISTRAL, "[CALL_ID]", "[ARGS]")),
    ),
    (_has_llama, CallFormat("llama3", _llama, (_PYTHON_TAG,))),
    (lambda t: _CALL in t, CallFormat("marked", _marked(_CALL), (_CALL,))),
    (lambda t: bool(_JSON.search(t)), CallFormat("json", _alone)),
)

"""Configuration files: YAML in, a validated pydantic model out, every problem with its line.

Read from the node tree of yaml.SafeLoader, so that each value keeps its line and no tag, alias or
merge key is ever acted upon. All problems of a file are reported at once, one `file:line: sentence`
each. Not here: what the keys mean (policy.py, recipes), defaults from the environment, writing YAML.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from .errors import ConfigError, UsageError

MAX_BYTES = 128 * 1024
MAX_DEPTH = 24

Loc = tuple[int | str, ...]
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {f"{_TAG}{name}" for name in ("str", "timestamp", "value", "merge")}
_SCALAR_TAGS = {f"{_TAG}{name}" for name in ("int", "float", "bool", "null")}


class Config(BaseModel):
    """Base of every model that users write: frozen, unknown keys and NaN refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


M = TypeVar("M", bound=Config)


def load_config(path: str | Path, model: type[M]) -> M:
    """Read a YAML file into `model`.

    Raises:
        UsageError: there is no such file.
        ConfigError: it is too large, not UTF-8, not YAML, or does not fit the model.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(
            f"There is no file '{path}'; check the path, or write one with `waterbed init`."
        )
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"'{path}' cannot be read ({error.strerror}); check its permissions."
        ) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(
            f"{path}:1: a configuration file may have {MAX_BYTES} bytes (this has "
            f"{file.stat().st_size}); is it the right file?"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, seen = raw.count(b"\n", 0, error.start) + 1, hex(raw[error.start])
        raise ConfigError(
            f"{path}:{line}: this is not UTF-8 text (byte {seen}); save it as UTF-8"
        ) from error
    return parse_config(text, model, str(path))


def parse_config(text: str, model: type[M], source: str = "config") -> M:
    """Read YAML text into `model`; `source` is the file name that problems begin with.

    Raises:
        ConfigError: lists every problem, in the order of lines.
    """
    reader = _Reader(source)
    values = reader.read(text)
    problems = list(reader.problems)
    try:
        made = model.model_validate(values)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            problems.append((reader.line(detail["loc"]), _sentence(detail, model)))
    else:
        if not problems:
            return made
    problems.sort(key=lambda problem: problem[0])
    raise ConfigError.of([f"{source}:{line}: {sentence}" for line, sentence in problems])


def line_of(path: str | Path, loc: Loc) -> int:
    """The line of a key of a file that `load_config` has read; 1 where it cannot be told any more."""
    reader = _Reader(str(path))
    try:
        reader.read(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return 1
    return reader.line(loc)


class _Reader:
    """Turns a node tree into plain values and remembers where each of them stands."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[tuple[int, str]] = []
        self.lines: dict[Loc, int] = {(): 1}

    def read(self, text: str) -> Any:
        """Plain values of the document; an empty one is an empty mapping."""
        try:
            self._refuse_bombs(text)
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._refusal(
                _mark_line(mark) if mark else 1, f"this is not YAML ({error.problem})"
            ) from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            seen = hex(error.character) if isinstance(error.character, int) else error.character
            raise self._refusal(
                line, f"a control character does not belong here ({seen})"
            ) from error
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise self._refusal(
                _line(node), f"expected `key: value` lines (got {_seen_node(node)})"
            )
        return self._value(node, ())

    def line(self, loc: Loc) -> int:
        """The line of the deepest part of `loc` that the file holds."""
        at: Loc = ()
        for step in loc:
            if (*at, step) in self.lines:
                at = (*at, step)
        return self.lines[at]

    def _refusal(self, line: int, sentence: str) -> ConfigError:
        return ConfigError.of([f"{self.source}:{line}: {sentence}"])

    def _refuse_bombs(self, text: str) -> None:
        """Aliases can grow without bound when expanded, and deep nesting exhausts the stack."""
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = _mark_line(event.start_mark)
            if isinstance(event, yaml.AliasEvent):
                raise self._refusal(
                    line, f"aliases are not accepted; write the value out (got '*{event.anchor}')"
                )
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise self._refusal(
                    line, f"nesting may be {MAX_DEPTH} deep (got {depth}); flatten it"
                )

    def _value(self, node: yaml.Node, at: Loc) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self._item(child, (*at, i)) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _TEXT_TAGS | _SCALAR_TAGS:
            return self._scalar(node)
        tag = node.tag.replace(_TAG, "!!")
        self.problems.append(
            (_line(node), f"tags are not accepted; write the plain value (got '{tag}')")
        )
        return None

    def _item(self, node: yaml.Node, at: Loc) -> Any:
        self.lines[at] = _line(node)
        return self._value(node, at)

    def _mapping(self, node: yaml.MappingNode, at: Loc) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(
                    (_line(key), f"a key must be plain text (got {_seen_node(key)})")
                )
                continue
            name, place = str(key.value), (*at, str(key.value))
            if name in values:
                first = self.lines[place]
                self.problems.append(
                    (_line(key), f"the key '{name}' is given twice (first on line {first})")
                )
                continue
            self.lines[place] = _line(key)
            values[name] = self._value(child, place)
        return values

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag in _TEXT_TAGS:
            return node.value
        try:
            return yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, KeyError):
            kind = node.tag.removeprefix(_TAG)
            self.problems.append((_line(node), f"this is no {kind} (got {_seen(node.value)})"))
            return None


def _line(node: yaml.Node) -> int:
    return _mark_line(node.start_mark)


def _mark_line(mark: Any) -> int:
    return int(mark.line) + 1


def _seen_node(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else _seen(node.value)


def _seen(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sentence(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """One problem of pydantic in our words: what is wrong, the value seen, the nearest key."""
    loc, seen = detail["loc"], _seen(detail["input"])
    name = ".".join(str(step) for step in loc if step != "[key]")
    if detail["type"] == "extra_forbidden":
        return f"unknown key '{loc[-1]}'{_nearest(str(loc[-1]), _known_keys(model, loc[:-1]))} (got {seen})"
    if detail["type"] == "missing":
        return f"the key '{name}' is missing; add it"
    text = detail["msg"].removeprefix("Value error, ").replace("Input should", "should")
    text = re.sub(r"a valid (tuple|list)", "a list", text)
    text = re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping of keys", text)
    if not loc:
        return text
    colon = "" if text.startswith("should") else ":"
    return f"'{name}'{colon} {text} (got {seen})"


def _nearest(seen: str, known: list[str]) -> str:
    near = difflib.get_close_matches(seen, known, n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"


def _known_keys(model: type[BaseModel], loc: Loc) -> list[str]:
    """Keys that the models at `loc` accept; list indices, mapping keys and union tags are skipped."""
    here: list[type[BaseModel]] = [model]
    for step in loc:
        fields = [
            m.model_fields[step] for m in here if isinstance(step, str) and step in m.model_fields
        ]
        if fields:
            here = [m for field in fields for m in _models_in(field.annotation)]
    return sorted({key for m in here for key in m.model_fields})


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)

"""Settings of a stage: a frozen dataclass, read from keywords or YAML, and written back as YAML.

The dataclass says names, types, defaults and rules; a pydantic model made from it checks what users
write, so that an unknown key or a wrong value is named, in a file with its line. Not here: what the
settings mean (trainers/).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from pydantic import ValidationError, create_model, model_validator
from pydantic_core import ErrorDetails

from .config import Config, Loc, load_config
from .errors import UnknownName, UsageError


def from_settings(config: type[Any], settings: Mapping[str, Any], stage: str) -> Any:
    """An instance of the dataclass `config`.

    Raises:
        UsageError: an unknown key, a missing one, or a value that is refused; names the first.
    """
    try:
        return _instance(config, _model(config).model_validate(dict(settings)))
    except ValidationError as error:
        raise _refusals(error, config, stage)[0][1] from error


def problems(
    config: type[Any], settings: Mapping[str, Any], stage: str
) -> list[tuple[Loc, UsageError]]:
    """Everything that `from_settings` refuses, each with its key."""
    try:
        _instance(config, _model(config).model_validate(dict(settings)))
    except ValidationError as error:
        return _refusals(error, config, stage)
    return []


def _refusals(
    error: ValidationError, config: type[Any], stage: str
) -> list[tuple[Loc, UsageError]]:
    details = error.errors(include_url=False, include_context=False)
    return [(detail["loc"], _refusal(detail, config, stage)) for detail in details]


def _refusal(detail: ErrorDetails, config: type[Any], stage: str) -> UsageError:
    key = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        known = [field.name for field in dataclasses.fields(config)]
        return UnknownName.of(f"setting of stage '{stage}'", key, known)
    text = detail["msg"].removeprefix("Value error, ")
    seen = f"'{key}': {text} (got {detail['input']!r})" if key else text
    return UsageError(f"Stage '{stage}': {seen}.")


def from_yaml(config: type[Any], path: str | Path) -> Any:
    """An instance of the dataclass `config` from a file.

    Raises:
        UsageError: there is no such file.
        ConfigError: every wrong key and value, each with its line.
    """
    return _instance(config, load_config(path, _model(config)))


def plain(instance: Any) -> dict[str, Any]:
    """Every setting after defaults, as JSON would hold it."""
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(instance)))
    return found


def to_yaml(instance: Any) -> str:
    """Every setting after defaults; `from_yaml` makes the same instance of it."""
    return yaml.safe_dump(plain(instance), sort_keys=False, allow_unicode=True)


def _model(config: type[Any]) -> type[Config]:
    """The pydantic model with the fields of a dataclass, which refuses what the dataclass refuses."""
    hints = get_type_hints(config)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        default: Any = ... if field.default is dataclasses.MISSING else field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        fields[field.name] = (hints[field.name], default)

    def obey(values: Config) -> Config:
        _instance(config, values)
        return values

    rules: dict[str, Any] = {"obey": model_validator(mode="after")(obey)}
    return create_model(config.__name__, __base__=Config, __validators__=rules, **fields)


def _instance(config: type[Any], values: Config) -> Any:
    return config(**{name: getattr(values, name) for name in type(values).model_fields})

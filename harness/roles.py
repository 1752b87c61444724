"""Who answers: a checkpoint folder, or a model that some server serves.

Besides the candidate a task may need a judge or a simulated user. Each is named by one text: a folder
or hub id, which is loaded here, or `http://host:port/v1#model`, which is asked over HTTP. Who answers is
said on the command line or in Python, never in a file, since keys are sent there (backends/keys.py). Not
here: the sandbox (backends/sandbox.py), which tasks need whom (tasks.py), whether two Runs had the same
judge (comparability.py).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .checkpoints import Checkpoint, open_checkpoint
from .cost import Price
from .errors import UnknownName, UsageError
from .records import Role

if TYPE_CHECKING:
    from .backends.base import Backend

#: What a server's backend can be told beside its address (backends/openai.py).
SERVER_OPTIONS = (
    *("url", "key_variable", "concurrency", "timeout_s", "deadline_s", "token_field", "body"),
)
#: Whose answers are billed by tokens.
_PRICED = ("candidate", "judge", "user")


@dataclass(frozen=True, slots=True)
class Others:
    """Who answers besides the candidate, and what anybody's tokens cost."""

    judges: Mapping[Role, Backend | str | Path] = field(default_factory=dict)
    """By role; texts are read by `open_role`."""
    prices: Mapping[Role, Price] = field(default_factory=dict)


def known_checkpoint(given: str | Path | Checkpoint, backend: str | Backend) -> Checkpoint | None:
    """The checkpoint to evaluate; None for a name that only a server knows.

    With the backend `openai`, a folder with a config.json is taken to be what the server serves under
    that path: its digest then identifies the answers.

    Raises:
        UsageError, CheckpointError: see `open_checkpoint`.
    """
    if isinstance(given, Checkpoint):
        return given
    if backend == "openai" and not (Path(given) / "config.json").is_file():
        return None
    return open_checkpoint(given)


def served(model: str, checkpoint: Checkpoint | None, options: Mapping[str, Any]) -> Backend:
    """The backend that asks a server for the candidate's answers.

    Args:
        model: the name under which the server knows it.
        checkpoint: its weights, where they are known.
        options: `url` and others of OpenAIBackend.

    Raises:
        UsageError: no address, or an option of other backends.
        BackendError: the server does not answer, or has no such model.
    """
    from .backends.openai import OpenAIBackend

    for name in options:
        if name not in SERVER_OPTIONS:
            raise UnknownName.of("option of the backend 'openai'", name, SERVER_OPTIONS)
    if not options.get("url"):
        raise UsageError(
            f"The backend 'openai' needs the address of the server that has '{model}'; pass --base-url, "
            "for example --base-url http://127.0.0.1:8000/v1."
        )
    return OpenAIBackend(model, digest=checkpoint.digest if checkpoint else None, **options)


def read_prices(given: Iterable[str]) -> dict[Role, Price]:
    """Prices of a million tokens, each written `role=prompt,completion`.

    Raises:
        UsageError: one is written otherwise.
    """
    found: dict[Role, Price] = {}
    for text in given:
        role, _, amounts = text.partition("=")
        try:
            prompt, completion = map(float, amounts.split(","))
        except ValueError:
            prompt = completion = math.nan
        if role not in _PRICED or math.isnan(prompt + completion):
            raise UsageError(
                f"--price {text} is no price of a million tokens; write it like judge=2,8 (prompt, "
                f"completion) for one of {', '.join(_PRICED)}."
            )
        found[cast(Role, role)] = Price(prompt, completion)
    return found


def open_role(role: Role, spec: str | Path, begun: Mapping[str, Any]) -> Backend:
    """The backend of another role, by what the user wrote.

    Args:
        spec: a checkpoint folder, a hub id, or `http://host:port/v1#model`; without `#model` the server
            must have one model only.
        begun: what run.json says of it where a Run is resumed; it keeps batch size and threads.

    Raises:
        UsageError, DataError: there is no such checkpoint.
        BackendError: the server does not answer, or has no such model.
    """
    text = str(spec)
    if text.startswith(("http://", "https://")):
        from .backends.openai import OpenAIBackend

        url, _, model = text.partition("#")
        return OpenAIBackend(model or None, url=url, role=role)
    try:
        checkpoint = open_checkpoint(spec)
    except UsageError as error:
        raise UsageError(
            f"--{role} {text}: {error} Or name a served model: http://host/v1#model."
        ) from error
    from .backends.transformers import TransformersBackend

    kept = {key: begun[key] for key in ("batch_size", "threads") if key in begun}
    return TransformersBackend(checkpoint, **kept)


def open_roles(
    given: Mapping[Role, Backend | str | Path],
    begun: Mapping[str, Any],
    opened: contextlib.ExitStack,
) -> dict[Role, Backend]:
    """The backends of other roles; those that are opened here are closed with `opened`.

    Args:
        begun: the `roles` of the run.json that is resumed.

    Raises:
        UsageError, DataError, BackendError: see `open_role`.
    """
    found: dict[Role, Backend] = {}
    for role, who in given.items():
        if isinstance(who, str | Path):
            who = open_role(role, who, begun.get(role) or {})
            opened.callback(who.close)
        found[role] = who
    return found


def shareable(
    backend: str | Backend,
    checkpoint: Checkpoint | None,
    roles: Mapping[Role, Backend | str | Path],
) -> frozenset[Role]:
    """Roles whose greedy answers other Runs may take: weights that are known, opened by this package.

    What a server answers under a mere name may be another model tomorrow.
    """
    own = {
        role
        for role, who in roles.items()
        if isinstance(who, str | Path) and not str(who).startswith(("http://", "https://"))
    }
    known = isinstance(backend, str) and checkpoint is not None
    return frozenset(own | ({"candidate"} if known else set()))

"""Which key a server is sent: one that was set for its role, or OpenAI's for OpenAI's own host.

WATERBED_JUDGE_API_KEY (likewise CANDIDATE and USER) is for the server that the user names in that role on
the command line or in Python. OPENAI_API_KEY is for the host of OPENAI_BASE_URL, without that for
api.openai.com, in whatever role; another host is not sent it. Addresses are taken from no data file, policy
or recipe, and redirects are not followed, so a key reaches no host but those. Not here: sending it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..errors import UsageError
from ..records import Role

OPENAI, OPENAI_URL = "OPENAI_API_KEY", "OPENAI_BASE_URL"
_OPENAI_HOST = "https://api.openai.com/v1"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Key:
    """What a server is sent, and the words for it where a server refuses it."""

    value: str = field(default="", repr=False)
    told: str = "none was sent"


def key_for(role: Role, url: str, variable: str | None = None) -> Key:
    """The key for the server that plays a role; empty where none was set for it.

    Args:
        role: what the server's model plays.
        url: the server's address, as the user named it.
        variable: environment variable that holds the key, where the user named that as well.

    Raises:
        UsageError: that variable is not set, a key holds what no header can carry, or OPENAI_BASE_URL is no
            address.
    """
    own = f"WATERBED_{role.upper()}_API_KEY"
    if variable and not _value(variable):
        raise UsageError(f"{variable} is named for the key of the {role} and not set; export it.")
    theirs = OPENAI if _place(url) == _openais_place() else own
    name = variable or (own if _value(own) else theirs)
    if value := _value(name):
        if not (value.isascii() and value.isprintable()):
            raise UsageError(f"{name} holds characters that no header can carry; copy it again.")
        return Key(value, f"that of {name} was sent")
    elsewhere = f"; {OPENAI} is kept for its own host" if _value(OPENAI) else ""
    return Key(told=f"none was sent: export {own} if this server wants one{elsewhere}")


def _value(variable: str) -> str:
    return os.environ.get(variable, "").strip()


def _openais_place() -> tuple[str, str | None, int | None]:
    url = _value(OPENAI_URL) or _OPENAI_HOST
    try:
        return _place(url)
    except ValueError:  # a port that is no number, a bracket that is not closed
        raise UsageError(
            f"{OPENAI_URL} holds no address; set it to one such as {_OPENAI_HOST}, or unset it."
        ) from None


def _place(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port: a key that was given for https is not sent over http."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)

"""What tau-bench's files hold of one domain: policy, tool documents, records and tasks.

Everything is read from WATERBED_DATA/tau_bench and checked against its recorded sha256; the tools
themselves are this project's (airline.py, retail.py). Not here: conversations (tasks.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...harness.errors import DataError
from ...harness.folders import data_file
from . import airline, retail
from .calls import Tool, carry_out
from .database import Database, Tables

COMMIT = "59a200c6d575d595120f1cb70fea53cef0632f6b"
_SHA256 = {
    "airline/db/flights.json": "444d7565c68434a3e3fb72efd717f9f9cd5c56dce227f6f56e078f1cb0ed233a",
    "airline/db/reservations.json": "1cf0bbc58ad984be9de7c24dba6dd27393f94cdbd482d8524f6a54db1f561a8c",
    "airline/db/users.json": "bd264e2a31e0fa35cdfef8987e70a0dd3776828b582fe90e7a44823a12eb4cea",
    "airline/tasks_test.json": "a0f39f870a0c5ab734ddcdd883515dc54effdb28d5d50e0ce565b081b5e176ad",
    "airline/tools_info.json": "acbc75b4fbe17373f1d3863bf935cfb81bedce25a9689256b8b5e49e15e8b27a",
    "airline/wiki.md": "56c335801c16e26b54f600f9db99eb04d31db477e86eb160341d5c66b796c5c8",
    "retail/db/orders.json": "2598a12586d28f2d6bd16bc86f4c800029b6af18e0abb5c475ef5c869c11ced1",
    "retail/db/products.json": "a9eabcc1a9742c5f5288c2779acce52b9308423383ed24706bbaf0889f762a0f",
    "retail/db/users.json": "6f4fd104cc5e80b92166c4035315c31532c6cea52a90dcdf18425ee7f87c2b82",
    "retail/tasks_test.json": "aacce327c87762677fc1a8c91218be0acb023887d238324740b610d2a5e64ffb",
    "retail/tools_info.json": "790bc1540dc8459ae2e7afa34043524e2876f4c63cd682e1b625dbd8e7a061d8",
    "retail/wiki.md": "d539fd2a46a8b8dd2e934ff9ed92f43e9f6b56bc7a718db8d2803ba8ad8f6bf7",
}
_TABLES = {
    "airline": ("flights", "reservations", "users"),
    "retail": ("orders", "products", "users"),
}
_TOOLS = {"airline": airline.TOOLS, "retail": retail.TOOLS}
#: The call that ends a conversation.
TRANSFER = "transfer_to_human_agents"


def _file(relative: str) -> Path:
    where = f"tau-bench's files (sierra-research/tau-bench @ {COMMIT[:8]})"
    return data_file(f"tau_bench/{relative}", _SHA256[relative], where)


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain, read once; its records are never changed."""

    name: str
    policy: str
    """What the agent must keep to."""
    documents: tuple[Mapping[str, Any], ...]
    """Of the tools, as the model reads them."""
    tools: Mapping[str, Tool]
    tables: Tables

    @classmethod
    def load(cls, name: str) -> Domain:
        """Read the files of `airline` or `retail`.

        Raises:
            UsageError: WATERBED_DATA is not set or lacks one.
            DataError: one has another content, or documents tools that are not there.
        """
        tables = {table: read(f"{name}/db/{table}.json") for table in _TABLES[name]}
        documents = tuple(read(f"{name}/tools_info.json"))
        documented = {document["function"]["name"] for document in documents}
        if documented != set(_TOOLS[name]):
            odd = ", ".join(sorted(documented ^ set(_TOOLS[name])))
            raise DataError(f"tau-bench's {name} tools and their documents differ ({odd}).")
        policy = _file(f"{name}/wiki.md").read_text(encoding="utf-8")
        return cls(name, policy, documents, _TOOLS[name], tables)

    def database(self) -> Database:
        """The records as every conversation finds them."""
        return Database(self.tables)

    def after(self, actions: Sequence[Mapping[str, Any]]) -> Database:
        """The database after gold actions; a transfer changes nothing."""
        database = self.database()
        for action in actions:
            carry_out(self.tools, database, action["name"], action["kwargs"])
        return database


def read(relative: str) -> Any:
    """A JSON file of tau-bench, for example `airline/tasks_test.json`.

    Raises:
        UsageError, DataError: see `Domain.load`.
    """
    return json.loads(_file(relative).read_text(encoding="utf-8"))

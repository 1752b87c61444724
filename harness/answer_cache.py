"""Answers shared between Runs: the baseline's greedy answers are computed once, ever.

One SQLite file under WATERBED_CACHE. The key holds weights digest, engine, versions, dtype, rendered
prompt and settings, so another model can never be answered with these. A Run writes here when it is
finished, not before, so that resuming a killed Run composes the same batches. Sampled answers are
never shared. A cache that cannot be read or written is an empty one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from .folders import cache_folder
from .journal import decode_answer, encode_answer
from .records import Answer, Role

_CHUNK = 500


class AnswerCache:
    """Greedy answers by shared key.

    Args:
        path: the file; None is the one under WATERBED_CACHE.
        roles: whose answers are shared; None is everybody's.
    """

    def __init__(self, path: Path | None = None, roles: Container[Role] | None = None) -> None:
        self.path = path or cache_folder("answers") / "answers.sqlite"
        self.roles = roles

    def takes(self, role: Role) -> bool:
        """Whether answers of this role are shared."""
        return self.roles is None or role in self.roles

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=30)
        connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT)")
        return connection

    def find(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers that are there, of the keys asked for."""
        wanted = list(keys)
        found: dict[str, Answer] = {}
        if not wanted or not self.path.exists():
            return found
        try:
            connection = self._connect()
            for start in range(0, len(wanted), _CHUNK):
                part = wanted[start : start + _CHUNK]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, answer FROM answers WHERE key IN ({marks})"
                for key, text in connection.execute(query, part):
                    found[key] = decode_answer(json.loads(text))
            connection.close()
        except (sqlite3.Error, ValueError, KeyError, TypeError):
            return {}  # a damaged cache is an empty one
        return found

    def add(self, answers: Mapping[str, Answer]) -> None:
        """Keep answers for later Runs; the first under a key stays."""
        rows = [(k, json.dumps(encode_answer(a), ensure_ascii=True)) for k, a in answers.items()]
        try:
            connection = self._connect()
            with connection:
                connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows)
            connection.close()
        except sqlite3.Error:
            return  # not shared, nothing lost

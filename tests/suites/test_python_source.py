"""Python files of other projects are read as data, and nothing in them runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from waterbed.harness.errors import DataError
from waterbed.suites.python_source import functions, literals, parsed

SOURCE = """
import os
LIMIT = 20
NAMES = {"a": ["b", "c" "d"]}
ODD = {[]: 1}
COMPUTED = os.environ["HOME"]
FIRST, SECOND = 1, 2
os.abort()

def outer(x=1):
    def inner():
        pass

class Holder:
    def method(self):
        pass
"""


def test_literals_and_functions_are_found_without_running_the_file(tmp_path: Path) -> None:
    (tmp_path / "source.py").write_text(SOURCE)
    module = parsed(tmp_path / "source.py", "get it again")
    assert literals(module) == {"LIMIT": 20, "NAMES": {"a": ["b", "cd"]}}
    assert list(functions(module)) == ["outer"]


@pytest.mark.parametrize("content", [b"def f(:", b"\xff\xfe", b"x = '\0'", b"(" * 100_000])
def test_what_is_no_python_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "source.py").write_bytes(content)
    with pytest.raises(DataError, match=r"source\.py' is not readable Python .*; get it again\."):
        parsed(tmp_path / "source.py", "get it again")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.py' is not readable Python"):
        parsed(tmp_path / "nowhere.py", "get it again")

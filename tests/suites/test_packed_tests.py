"""Packed tests are read without unpickling: one string or an error, whatever the bytes."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.errors import DataError
from waterbed.suites import packed_tests
from waterbed.suites.packed_tests import pickled_text, unpack_tests

TESTS = [{"input": "1\n2", "output": "3é", "testtype": "stdin"}]


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_json_and_every_protocol_of_packed_json_are_read(protocol: int) -> None:
    text = json.dumps(TESTS, ensure_ascii=False)
    assert unpack_tests(text) == [("1\n2", "3é")]
    assert unpack_tests(packed(pickle.dumps(text, protocol))) == [("1\n2", "3é")]
    assert unpack_tests("[]") == []


def test_long_texts_are_read() -> None:
    text = json.dumps([{"input": "x" * 100_000, "output": ""}])
    assert unpack_tests(packed(pickle.dumps(text))) == [("x" * 100_000, "")]


class Call:
    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.marker,)


def test_nothing_in_a_pickle_is_called(tmp_path: Any) -> None:
    marker = tmp_path / "called"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(DataError, match="opcode"):
            unpack_tests(packed(pickle.dumps(Call(str(marker)), protocol)))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pickle.dumps(["a"]), "opcode EMPTY_LIST"),
        (pickle.dumps(7), "opcode BININT1"),
        (pickle.dumps("not json"), "not JSON"),
        (pickle.dumps("[" * 100_000), "not JSON"),
        (pickle.dumps('{"input": 1}'), "no list of objects"),
        (pickle.dumps('[{"input": 1, "output": ""}]'), "no list of objects"),
        (pickle.dumps("[]")[:-1], "no pickle"),
        (b"\x8d" + (2**63 - 1).to_bytes(8, "little") + b"x.", "no pickle"),
        (b"r\xff\xff\xff\xff.", "0 strings"),
        (b"X\x01\x00\x00\x00aX\x01\x00\x00\x00b.", "2 strings"),
        (b"", "no pickle"),
    ],
)
def test_other_contents_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        unpack_tests(packed(data))


def test_a_bomb_is_refused_before_it_takes_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_tests, "LARGEST", 1 << 20)
    with pytest.raises(DataError, match="larger than 1048576 bytes"):
        unpack_tests(packed(bytes(20 << 20)))
    with pytest.raises(DataError, match="cut off"):
        unpack_tests(packed(pickle.dumps(os.urandom(99).hex()))[:-40])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.binary(max_size=30).map(lambda b: b"\x80\x04\x8c\x02[]\x94" + b))
def test_any_bytes_give_a_text_or_a_data_error(data: bytes) -> None:
    try:
        assert isinstance(pickled_text(data), str)
    except DataError:
        pass


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_text_gives_tests_or_a_data_error(text: str) -> None:
    try:
        assert isinstance(unpack_tests(text), list)
    except DataError:
        pass

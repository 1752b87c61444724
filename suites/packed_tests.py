"""LiveCodeBench's hidden tests: JSON, or JSON in a pickle in zlib in base64. Nothing is ever unpickled.

A pickle of one string is read opcode by opcode from a short list; any other opcode, one that could
import or call included, is an error. Sizes are bounded before memory is taken.
"""

from __future__ import annotations

import base64
import binascii
import json
import pickletools
import zlib
from typing import Any

from ..harness.errors import DataError

#: Most bytes the tests of one problem may unpack to.
LARGEST = 1 << 28
_TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_SILENT = {"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"}


def unpack_tests(packed: str) -> list[tuple[str, str]]:
    """(input, expected output) of each test.

    Raises:
        DataError: the text is neither form, unpacks to more than LARGEST bytes, or holds no such list.
    """
    try:
        rows = json.loads(packed)
    except (ValueError, RecursionError):
        rows = _parsed(pickled_text(_inflated(packed)))
    if not isinstance(rows, list) or not all(_is_test(row) for row in rows):
        raise DataError("The tests are no list of objects with the texts 'input' and 'output'.")
    return [(row["input"], row["output"]) for row in rows]


def _is_test(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(k), str) for k in ("input", "output"))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"The unpacked tests are not JSON ({type(error).__name__}).") from None


def _inflated(packed: str) -> bytes:
    engine = zlib.decompressobj()
    try:
        data = engine.decompress(base64.b64decode(packed, validate=True), LARGEST)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise DataError(f"The tests are neither JSON nor packed ({error}).") from None
    if not engine.eof:
        raise DataError(f"The packed tests are cut off or larger than {LARGEST} bytes.")
    return data


def pickled_text(data: bytes) -> str:
    """The one string in a pickle that holds nothing else.

    Raises:
        DataError: it holds anything else, or is no pickle.
    """
    texts: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _TEXTS and isinstance(argument, str):
                texts.append(argument)
            elif opcode.name not in _SILENT:
                raise DataError(f"The packed tests hold the pickle opcode {opcode.name}; refused.")
    except (ValueError, IndexError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"The packed tests are no pickle ({error}).") from None
    if len(texts) != 1:
        raise DataError(f"The packed tests hold {len(texts)} strings, expected one.")
    return texts[0]

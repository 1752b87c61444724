"""The channel between a candidate and its test: calls, results and exceptions as JSON frames.

Both ends are one `Endpoint`. A call names a number in the other end's table of exports (0 is the
candidate itself), so functions passed as arguments, and functions or iterators returned, work by
calling back. While an end waits for its result it serves the other's calls.

Mutable arguments that a call changed are written back, as if both sides shared them.
The test's end assumes nothing about the candidate's: sizes are capped before reading, shapes are
checked, and the first violation ends the conversation. Runs inside the sandbox.
"""

from __future__ import annotations

import builtins
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from .codec import MUTABLE, BadValue, Decoder, Encoder

HEADER = 4
_TEXT = 500
_CHUNK = 1 << 16


class Gone(BaseException):
    """The other end left, or broke the protocol. No `except Exception` of a test can hide it."""

    outcome = "gone"


class TooLarge(Gone):
    """The other end sent a frame above the cap."""

    outcome = "limit"


class Endpoint:
    """One end of the channel.

    Args:
        fd: a stream socket.
        cap: bytes of the largest frame.
        depth: deepest nesting of a value.
        names: where exception classes are looked up by name before builtins.
    """

    def __init__(self, fd: int, cap: int, depth: int, names: Mapping[str, Any]) -> None:
        self.fd = fd
        self.cap = cap
        self.names = names
        self.gone: Gone | None = None
        self._exports: list[Callable[..., Any]] = []
        self._buffer = b""
        self._encoder = Encoder(self.export, depth)
        self._decoder = Decoder(self._remote, depth)

    def export(self, function: Callable[..., Any]) -> int:
        """Let the other end call `function`; returns its number."""
        self._exports.append(function)
        return len(self._exports) - 1

    def call(self, target: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the other end's export and return or raise what it answers.

        Raises:
            Gone: there will be no answer; said again on every later call.
        """
        if self.gone is not None:
            raise self.gone
        nodes = [self._encoder.node(value) for value in args]
        options = {name: self._encoder.node(value) for name, value in kwargs.items()}
        self._send(["call", target, nodes, options])
        while True:
            message = self._receive()
            match message:
                case ["call", int(number), list(given), dict(named)]:
                    self._answer(number, given, named)
                case ["ok", result, list(changed)]:
                    return self._result(result, changed, args)
                case ["raise", list(kinds), list(values), str(text)]:
                    self._raise(kinds, values, text)
                case ["large"]:
                    self._leave(TooLarge("a result above the frame limit"))
                case _:
                    self._leave(Gone("the program sent what is no answer"))

    def serve(self) -> None:
        """Answer calls until the other end closes."""
        while True:
            match self._receive():
                case ["call", int(number), list(given), dict(named)]:
                    self._answer(number, given, named)
                case _:
                    self._leave(Gone("not a call"))

    def load_failed(self, error: BaseException) -> None:
        """Answer the first call with `error`: the program did not even load."""
        self._receive()
        self._send_error(error)

    def _remote(self, number: int) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.call(number, args, kwargs)

    def _answer(self, number: int, given: list[Any], named: dict[str, Any]) -> None:
        try:
            args = [self._decoder.value(node) for node in given]
            kwargs = {name: self._decoder.value(node) for name, node in named.items()}
            result = self._encoder.node(self._exports[number](*args, **kwargs))
            reply = ["ok", result, self._changed(args, given)]
        except Gone:
            raise
        except BaseException as error:
            self._send_error(error)
        else:
            self._send(reply)

    def _changed(self, args: list[Any], before: list[Any]) -> list[Any]:
        after = []
        for index, (value, node) in enumerate(zip(args, before, strict=True)):
            if isinstance(value, MUTABLE) and (now := self._encoder.node(value)) != node:
                after.append([index, now])
        return after

    def _result(self, node: Any, changed: list[Any], args: tuple[Any, ...]) -> Any:
        try:
            for index, now in changed:
                _overwrite(args[index], self._decoder.value(now))
            return self._decoder.value(node)
        except (BadValue, ValueError, TypeError, IndexError) as error:
            self._leave(Gone(f"the program's answer is unreadable: {error}"))

    def _raise(self, kinds: list[Any], values: list[Any], text: str) -> NoReturn:
        kind = next(filter(None, map(self._exception, kinds)), None)
        if kind is None:
            self._leave(Gone(f"the program ended itself: {str(kinds[:1])[:_TEXT]} {text[:_TEXT]}"))
        try:
            error = kind(*[self._decoder.value(node) for node in values])
        except Exception:  # an exception class may refuse any arguments, for any reason
            error = Exception(text[:_TEXT])
        raise error

    def _exception(self, name: Any) -> type[Exception] | None:
        found = self.names.get(name) if isinstance(name, str) else None
        found = found or getattr(builtins, str(name), None)
        return found if isinstance(found, type) and issubclass(found, Exception) else None

    def _send_error(self, error: BaseException) -> None:
        """Send what the other end needs to raise the like; must survive any `__str__`."""
        kinds = [base.__name__ for base in type(error).__mro__]
        try:
            text = str(error)[:_TEXT]
        except BaseException as worse:
            text = f"<its message raised {type(worse).__name__}>"
        try:
            values = [self._encoder.node(value) for value in error.args]
            self._send(["raise", kinds, values, text], oversize=["raise", kinds, [], text])
        except BadValue:
            self._send(["raise", kinds, [text], text])

    def _send(self, message: Any, oversize: Any = ("large",)) -> None:
        body = self._encoder.text(message)
        if len(body) > self.cap:
            body = self._encoder.text(oversize)
        data = memoryview(len(body).to_bytes(HEADER, "little") + body)
        try:
            while data:
                data = data[os.write(self.fd, data) :]
        except OSError as error:
            self._leave(Gone(f"the program ended before the tests did ({error.strerror})"))

    def _receive(self) -> Any:
        header = self._exactly(HEADER)
        size = int.from_bytes(header, "little")
        if size > self.cap:
            self._leave(TooLarge(f"a frame of {size} bytes, above the limit of {self.cap}"))
        try:
            return self._decoder.parse(self._exactly(size))
        except BadValue as error:
            self._leave(Gone(str(error)))

    def _exactly(self, size: int) -> bytes:
        parts, have = [self._buffer], len(self._buffer)
        while have < size:
            try:
                part = os.read(self.fd, max(_CHUNK, min(size - have, 1 << 20)))
            except OSError as error:
                self._leave(Gone(f"the channel broke ({error.strerror})"))
            if not part:
                self._leave(Gone("the program ended before the tests did"))
            parts.append(part)
            have += len(part)
        data = b"".join(parts)
        self._buffer = data[size:]
        return data[:size]

    def _leave(self, reason: Gone) -> NoReturn:
        self.gone = reason
        raise reason


def _overwrite(target: Any, now: Any) -> None:
    """Give the caller's container the contents it has after the call."""
    if type(now) is not type(target) and not isinstance(target, type(now)):
        raise TypeError("an argument changed its type")
    if isinstance(target, (list, bytearray)):
        target[:] = now
    elif isinstance(target, (dict, set, deque)):
        target.clear()
        (target.extend if isinstance(target, deque) else target.update)(now)

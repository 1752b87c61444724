"""Frames between the supervisor, its zygotes and their checkers: length, JSON, descriptors.

A frame is four bytes of length (little endian) and that much JSON. Nothing is ever pickled. These
are the control channels, whose both ends are ours; the channel to a candidate is in calls.py.
Runs inside the sandbox too: standard library only.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

HEADER = 4
CAP = 1 << 20
_MAX_FDS = 4


class Closed(Exception):
    """The other end is gone."""


def send(sock: socket.socket, message: Any, fds: Sequence[int] = ()) -> None:
    """Send one message with `fds` attached to its first byte.

    Raises:
        Closed: nobody reads any more.
    """
    body = json.dumps(message, separators=(",", ":")).encode()
    data = len(body).to_bytes(HEADER, "little") + body
    try:
        sent = socket.send_fds(sock, [data], list(fds)) if fds else sock.send(data)
        if sent < len(data):
            sock.sendall(data[sent:])
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Closed from error


def receive(sock: socket.socket) -> tuple[Any, list[int]]:
    """Read one message and the descriptors that came with it.

    Raises:
        Closed: the other end is gone, or what it sent is no frame.
    """
    header, fds = _first_bytes(sock)
    size = int.from_bytes(header, "little")
    if size > CAP:
        raise Closed(f"frame of {size} bytes")
    return json.loads(_exactly(sock, size)), fds


def _first_bytes(sock: socket.socket) -> tuple[bytes, list[int]]:
    space = socket.CMSG_SPACE(_MAX_FDS * array.array("i").itemsize)
    try:
        data, ancillary, _, _ = sock.recvmsg(HEADER, space)
    except ConnectionResetError as error:
        raise Closed from error
    fds = array.array("i")
    for _, kind, payload in ancillary:
        if kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if not data:
        raise Closed
    return data + _exactly(sock, HEADER - len(data)), list(fds)


def _exactly(sock: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = sock.recv(min(size, CAP))
        if not part:
            raise Closed
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def spec_file(value: Any) -> int:
    """An anonymous file that holds `value` as JSON, to be passed on and read once.

    The zygotes pass it to their child unread, so that no zygote's memory, which every later child
    inherits, ever holds a program or a test.
    """
    fd = os.memfd_create("spec")
    data = memoryview(json.dumps(value, separators=(",", ":")).encode())
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def read_spec(fd: int) -> Any:
    """Read and close what `spec_file` made."""
    with open(fd, "rb") as file:
        return json.load(file)

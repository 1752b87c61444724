"""A sandbox for the suites that run programs, opened once a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from waterbed.harness.backends.sandbox import SandboxBackend
from waterbed.harness.errors import NoSandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxBackend]:
    """The best level that works here; without one the tests skip and say why."""
    try:
        opened = SandboxBackend()
    except NoSandbox as error:
        pytest.skip(str(error))
    yield opened
    opened.close()

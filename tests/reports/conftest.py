"""The example verdicts and Runs, and a reader of pages, as fixtures."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _beside(name: str) -> ModuleType:
    """A helper file of this folder as a module."""
    full = f"waterbed_reports_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


@pytest.fixture(scope="session")
def examples() -> ModuleType:
    """The functions of examples.py."""
    return _beside("examples")


@pytest.fixture(scope="session")
def example_loop() -> ModuleType:
    """The functions of example_loop.py."""
    return _beside("example_loop")


@pytest.fixture(scope="session")
def read() -> Callable[[Path], Any]:
    """`read(path)`: the page there, parsed."""
    page = _beside("page_reader").Page
    return lambda path: page(path.read_text(encoding="utf-8"))

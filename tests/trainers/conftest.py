"""Losses by hand, as a fixture."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def by_hand() -> ModuleType:
    """The functions of by_hand.py."""
    spec = importlib.util.spec_from_file_location(
        "waterbed_losses_by_hand", Path(__file__).with_name("by_hand.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

"""A real browser as a fixture; where there is none, what asks for it is skipped and says so.

And the example verdicts that the tests of reports read.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BROWSER = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)  # fmt: skip
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--enable-logging=stderr", "--v=0",
)  # fmt: skip


@pytest.fixture(scope="session")
def browse() -> Callable[..., tuple[str, list[str]]]:
    """`browse(profile, url, *options)`: (standard output, console messages of the page)."""
    if BROWSER is None:
        pytest.skip("no chromium on this machine")

    def open_page(profile: Path, url: str, *options: str) -> tuple[str, list[str]]:
        assert BROWSER is not None
        command = [BROWSER, *QUIET, f"--user-data-dir={profile}", *options, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout, re.findall(r"CONSOLE[:(].*", done.stderr)

    return open_page


@pytest.fixture(scope="session")
def examples() -> ModuleType:
    """The functions of tests/reports/examples.py."""
    name = "waterbed_reports_examples"
    if name not in sys.modules:
        file = Path(__file__).parents[1] / "reports" / "examples.py"
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]

"""A real browser as a fixture; where there is none, what asks for it is skipped and says so."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

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

"""A real browser opens the gate page from a file: no error, no request, with and without script.

Needs a `chromium` (or `google-chrome`) binary; says so and skips where there is none. A page that
stays within its Content-Security-Policy and within its folder prints nothing to the console.
"""

from __future__ import annotations

import functools
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from waterbed.reports.flips import Answer, Flip, FlipGroup
from waterbed.reports.gate_page import write_gate_page

Browse = Callable[..., tuple[str, list[str]]]
HOSTILE = (
    "</pre><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
)


@pytest.fixture(scope="module")
def page(examples: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A red gate with flips, one of them hostile."""
    answers = Answer("kept the order", 1.0), Answer("lost the order", 0.0, "program_failed")
    bad = Answer(HOSTILE, 0.0, extracted=HOSTILE)
    flips = (
        Flip("HumanEval/3", 0, "newly_failing", "Write words(text).", *answers),
        Flip("HumanEval/4", 0, "newly_failing", HOSTILE, bad, bad),
    )
    verdict = examples.verdict()
    groups = [FlipGroup("humaneval", "correct", flips), FlipGroup("gsm8k", "correct", flips)]
    return write_gate_page(verdict, tmp_path_factory.mktemp("page") / "gate.html", flips=groups)


def test_the_page_opens_from_a_file_without_a_word_on_the_console(
    browse: Browse, page: Path, tmp_path: Path
) -> None:
    dom, console = browse(tmp_path, page.as_uri(), "--dump-dom")
    assert console == []
    assert dom.rstrip().endswith("</html>")


def test_a_page_that_broke_its_policy_would_be_seen_on_the_console(
    browse: Browse, page: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text().replace("</body>", "<script>let smuggled</script></body>"))
    _, console = browse(tmp_path / "profile", broken.as_uri(), "--dump-dom")
    assert any("Content Security Policy" in line for line in console)


def test_hostile_answers_do_not_run(browse: Browse, page: Path, tmp_path: Path) -> None:
    dom, _ = browse(tmp_path, page.as_uri(), "--dump-dom")
    assert "<title>REGRESSION: code lost" in dom
    assert not re.search(r"<img", dom)


def test_the_script_runs_under_the_policy_and_turns_on_filter_and_sorting(
    browse: Browse, page: Path, tmp_path: Path
) -> None:
    dom, _ = browse(tmp_path, page.as_uri(), "--dump-dom")
    assert '<span class="js">' in dom
    assert '<th scope="col"><button>n</button></th>' in dom


def test_an_anchor_opens_the_samples_it_points_at(
    browse: Browse, page: Path, tmp_path: Path
) -> None:
    closed, _ = browse(tmp_path, page.as_uri(), "--dump-dom")
    opened, _ = browse(tmp_path, page.as_uri() + "#task-gsm8k", "--dump-dom")
    tag = r'<details class="block" id="task-gsm8k"( open="")?>'
    assert re.search(tag, closed).group(1) is None  # type: ignore[union-attr]
    assert re.search(tag, opened).group(1) is not None  # type: ignore[union-attr]


def test_without_script_the_page_shows_the_same_text(
    browse: Browse, page: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL))
    dom, console = browse(tmp_path / "profile", bare.as_uri(), "--dump-dom")
    assert console == []
    assert dom.count("<tbody") == page.read_text().count("<tbody")


class Counting(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(page: Path) -> Iterator[str]:
    handler = functools.partial(Counting, directory=str(page.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/gate.html"
        web.shutdown()


def test_opening_the_page_asks_the_server_for_the_page_and_nothing_else(
    browse: Browse, server: str, tmp_path: Path
) -> None:
    Counting.asked.clear()
    _, console = browse(tmp_path, server, "--dump-dom")
    assert console == []
    assert Counting.asked == ["/gate.html"]


@pytest.mark.parametrize(("width", "scheme"), [(1100, 1), (400, 1), (1100, 0)])
def test_it_draws_on_a_desk_on_a_phone_and_in_the_dark(
    browse: Browse, page: Path, tmp_path: Path, width: int, scheme: int
) -> None:
    picture = tmp_path / "page.png"
    size = f"--window-size={width},1200"
    color = f"--blink-settings=preferredColorScheme={scheme}"
    browse(tmp_path / "profile", page.as_uri(), size, color, f"--screenshot={picture}")
    header = picture.read_bytes()
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(header[16:20], "big") == width
    assert len(header) > 20_000

"""A real browser opens the lineage and the leaderboard from files: no error, nothing loaded, any width."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from memory_runs import make_run

from waterbed.harness.leaderboard import leaderboard
from waterbed.harness.loop_summary import summary
from waterbed.reports.leaderboard_page import write_leaderboard_page
from waterbed.reports.lineage_page import write_lineage_page

Browse = Callable[..., tuple[str, list[str]]]


def _lineage(folder: Path, examples: ModuleType) -> Path:
    """A red attempt at one stage, with the verdict of the gate page's example."""
    examples.verdict().save(folder / "gates" / "one.1" / "verdict.json")
    judged = {"attempt": "one.1", "outcome": "red", "exit_code": 1, "headline": "REGRESSION", "sentence": "<b>code</b> lost"}  # fmt: skip
    tried = {"attempt": "one.1", "parent": "base", "how": "first", "stage": "<i>", "settings": {}, "why": "why"}  # fmt: skip
    events = [
        {"kind": "begun", "key": "loop", "digest": "d", "recipe": {"stages": [{"name": "one", "stage": "<i>"}]}},
        {"kind": "base", "key": "base", "digest": "b"},
        {"kind": "trained", "key": "one.1", **tried},
        {"kind": "judged", "key": "one.1", "verdict": judged},
        {"kind": "decided", "key": "one.1", "label": "rejected (red)", "next": "stop", "evidence": judged},
    ]  # fmt: skip
    record = summary(events, "stopped", 1, "stopped", None)
    (folder / "loop.json").write_text(json.dumps(record))
    return write_lineage_page(folder)


@pytest.fixture(scope="module")
def pages(examples: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    runs = [make_run(n, math=[1.0] * k + [0.0] * (200 - k)) for n, k in (("a", 150), ("b", 90))]
    sized = [run.changed("size", {"bytes": 10 + k, "parameters": 5}) for k, run in enumerate(runs)]
    board = leaderboard(sized, baseline=sized[0])
    return {
        "lineage": _lineage(folder, examples),
        "leaderboard": write_leaderboard_page(board, folder / "leaderboard.html"),
    }


@pytest.mark.parametrize("name", ["lineage", "leaderboard"])
def test_it_opens_from_a_file_without_a_word_on_the_console(
    browse: Browse, pages: dict[str, Path], tmp_path: Path, name: str
) -> None:
    dom, console = browse(tmp_path, pages[name].as_uri(), "--dump-dom")
    assert console == []
    assert dom.rstrip().endswith("</html>")


@pytest.mark.parametrize("name", ["lineage", "leaderboard"])
def test_it_says_the_same_without_script(
    browse: Browse, pages: dict[str, Path], tmp_path: Path, name: str
) -> None:
    source = pages[name].read_text()
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r"<script>.*?</script>", "", source, flags=re.DOTALL))
    dom, console = browse(tmp_path / "profile", bare.as_uri(), "--dump-dom")
    assert console == []
    assert dom.count("<tr") == source.count("<tr")


def test_the_ranking_can_be_sorted_and_filtered(
    browse: Browse, pages: dict[str, Path], tmp_path: Path
) -> None:
    dom, _ = browse(tmp_path, pages["leaderboard"].as_uri(), "--dump-dom")
    assert '<th scope="col"><button>overall</button></th>' in dom
    assert '<p class="tool js"><input type="search" data-filter="ranking"' in dom


@pytest.mark.parametrize("name", ["lineage", "leaderboard"])
@pytest.mark.parametrize(("width", "scheme"), [(1100, 1), (390, 1), (1100, 0)])
def test_it_draws_on_a_desk_on_a_phone_and_in_the_dark(
    browse: Browse, pages: dict[str, Path], tmp_path: Path, name: str, width: int, scheme: int
) -> None:
    picture = tmp_path / "page.png"
    size = f"--window-size={width},1200"
    color = f"--blink-settings=preferredColorScheme={scheme}"
    browse(tmp_path / "profile", pages[name].as_uri(), size, color, f"--screenshot={picture}")
    header = picture.read_bytes()
    assert int.from_bytes(header[16:20], "big") == width
    assert len(header) > 20_000

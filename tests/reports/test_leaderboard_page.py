"""The leaderboard page shows the record and nothing else, legibly, whatever a Run is called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_runs import MemoryRun, make_run
from typer.testing import CliRunner

from waterbed.harness.cli.app import app
from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.leaderboard import leaderboard
from waterbed.harness.leaderboard_record import Leaderboard
from waterbed.reports.budget import PAGE_BYTES
from waterbed.reports.leaderboard_page import write_leaderboard_page

HOSTILE = "</script><img src=x onerror=alert(1)>\u202e"


def drawn(label: str, seed: int, size: int | None = 1000, /, **rates: float) -> MemoryRun:
    """A Run of 300 items a task, right at given rates."""
    random = np.random.default_rng(seed)
    values = {
        task: (random.random(300) < rate).astype(float).tolist() for task, rate in rates.items()
    }
    run = make_run(label, **values).changed("size", {"bytes": size, "parameters": 320_064})
    cost = {"wall_s": 2.0 + seed, "prompt_tokens": 4000, "completion_tokens": 600}
    return run.changed("cost", cost)


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    runs = [
        drawn("good", 1, math=0.8, code=0.6),
        drawn("small", 2, 300, math=0.5, code=0.6),
        drawn(HOSTILE, 3, math=0.8, code=0.1),
    ]
    old = drawn("old", 0, math=0.5, code=0.6)
    return leaderboard(runs, old, recipes={HOSTILE: runs, "small": runs[1:2]})


@pytest.fixture
def page(board: Leaderboard, tmp_path: Path, read: Callable[[Path], Any]) -> Any:
    return read(write_leaderboard_page(board, tmp_path / "leaderboard.html"))


def numbers(found: Any) -> Iterator[float]:
    """Every number of a record."""
    if isinstance(found, dict):
        for value in found.values():
            yield from numbers(value)
    elif isinstance(found, list | tuple):
        for value in found:
            yield from numbers(value)
    elif isinstance(found, int | float) and not isinstance(found, bool):
        yield float(found)


def test_every_number_on_the_page_is_in_the_record(page: Any, board: Leaderboard) -> None:
    known = set(numbers(board.to_dict()))
    known |= {-duel.delta for duel in board.duels}  # the other way round
    known |= {float(len(board.tasks))}
    shown = {float(e.attributes["value"]) for e in page.all("data")}
    assert shown <= known
    for place in board.places:
        assert {place.overall.value, place.best} <= shown
        assert {s.value for s in place.scores.values()} <= shown


def test_rows_stand_in_the_order_of_the_record_with_rank_intervals_and_marks(
    page: Any, board: Leaderboard
) -> None:
    rows = [e for e in page.all("tr") if e.attributes.get("id", "").startswith("run-")]
    assert len(rows) == len(board.places) == 4
    for row, place in zip(rows, board.places, strict=True):
        rank = str(place.best) if place.best == place.worst else f"{place.best}–{place.worst}"
        assert rank in row.text
    harmed = next(r for r in rows if "img src" in r.text)
    assert "regressed" in harmed.text and "code" in harmed.text
    assert "on the front" in rows[0].text


def test_what_was_lost_is_marked_by_word_shape_and_shade(page: Any, board: Leaderboard) -> None:
    failed = [
        c for p in board.places if p.against for c in p.against.claims.values() if c.badge == "fail"
    ]
    assert failed and len(page.all("td", class_="fail lost")) == len(failed)
    assert "REGRESSION." in page.words


def test_a_score_that_is_better_when_lower_says_so(
    tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    def safety(unsafe: int, over: int) -> dict[str, list[float]]:
        return {
            name: [1.0] * k + [0.0] * (100 - k)
            for name, k in (("unsafe", unsafe), ("overrefusal", over))
        }

    runs = [make_run("tame", safety=safety(5, 30)), make_run("wild", safety=safety(40, 20))]
    page = read(write_leaderboard_page(leaderboard(runs, runs[0]), tmp_path / "page.html"))
    heads = [e.text for e in page.all("th") if "safety/" in e.text]
    assert len(heads) == 2 and all("lower is better" in head for head in heads)
    assert "5.0" in page.one("table", class_="grid9").text


def test_hostile_names_are_shown_and_do_nothing(page: Any) -> None:
    assert not page.all("img") and len(page.all("script")) == 1
    assert "</script><img src=x onerror=alert(1)>⟨U+202E⟩" in page.words
    assert "http" not in page.source.replace("http-equiv", "") and "\u202e" not in page.source


def test_recipes_say_how_many_runs_speak_for_them(page: Any) -> None:
    table = next(
        t for t in page.all("table", class_="grid9") if t.text.strip().startswith("recipe")
    )
    assert "3 runs" in table.text and "one run, items only" in table.text


def test_without_a_baseline_nothing_is_said_of_losses(
    tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    board = leaderboard([drawn("a", 1, math=0.6), drawn("b", 2, math=0.6)])
    page = read(write_leaderboard_page(board, tmp_path / "page.html"))
    assert (
        "against baseline" not in page.words
        and "gate" not in page.one("table", class_="sortable board").text
    )
    assert [e.text for e in page.all("h2")] == ["Ranking", "Domains", "Quality and its price", "Run against Run", "What was compared"]  # fmt: skip


def test_a_toy_model_is_called_one_wherever_its_figures_stand(
    tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    runs = [drawn(n, k, math=0.6).changed("tasks/math/toy", True) for k, n in enumerate("ab")]
    page = read(write_leaderboard_page(leaderboard(runs), tmp_path / "page.html"))
    headings = page.all("h1") + [h for h in page.all("h2") if "compared" not in h.text]
    assert all("(toy model)" in heading.text for heading in headings)


def test_thirty_runs_fit_into_a_megabyte_and_are_not_shown_pair_by_pair(
    tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    runs = [drawn(f"run {k}", k, math=0.6) for k in range(30)]
    file = write_leaderboard_page(leaderboard(runs), tmp_path / "page.html")
    assert file.stat().st_size < PAGE_BYTES
    assert "Run against Run" not in read(file).words


def stored(run: MemoryRun, folder: Path) -> str:
    """A Run in memory as a folder."""
    out = folder / run.label
    out.mkdir()
    (out / "run.json").write_text(json.dumps(run.manifest))
    run.table.to_parquet(out / "scores.parquet")
    return str(out)


def test_the_command_writes_record_and_page_and_prints_a_table(tmp_path: Path) -> None:
    paths = [
        stored(drawn(n, k, math=0.3 + k / 5), tmp_path) for k, n in enumerate(("old", "mid", "new"))
    ]
    out = tmp_path / "board"
    asked = ["leaderboard", *paths[1:], "--baseline", paths[0], "--out", str(out)]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 0
    assert [line.split()[1] for line in done.stdout.splitlines()[1:4]] == ["new", "mid", "old"]
    assert (out / "leaderboard.html").is_file()
    record = json.loads((out / "leaderboard.json").read_text())
    again = CliRunner().invoke(app, [*asked, "--json"], catch_exceptions=False)
    assert json.loads(again.stdout) == record
    page = (out / "leaderboard.html").read_bytes()
    (out / "leaderboard.html").unlink()
    CliRunner().invoke(app, ["report", str(out)], catch_exceptions=False)
    assert (out / "leaderboard.html").read_bytes() == page


def test_the_command_takes_recipes_as_names_with_their_runs(tmp_path: Path) -> None:
    paths = [stored(drawn(f"s{k}", k, math=0.6), tmp_path) for k in range(3)]
    asked = ["leaderboard", "--recipe", f"sft={','.join(paths)}", "--out", str(tmp_path / "x")]
    done = CliRunner().invoke(app, [*asked, "--json"], catch_exceptions=False)
    (recipe,) = json.loads(done.stdout)["recipes"]
    assert (recipe["name"], recipe["runs"]) == ("sft", ["s0", "s1", "s2"])
    with pytest.raises(UsageError, match="--recipe takes NAME=RUN,RUN once"):
        CliRunner().invoke(app, ["leaderboard", "--recipe", "sft"], catch_exceptions=False)


def test_the_command_refuses_a_partial_run_with_4_and_an_incomparable_one_with_2(
    tmp_path: Path,
) -> None:
    whole = stored(drawn("whole", 1, math=0.5), tmp_path)
    half = stored(drawn("half", 2, math=0.5).changed("status", "partial"), tmp_path)
    other = stored(drawn("other", 3, code=0.5), tmp_path)
    for path, error in ((half, DataError), (other, UsageError)):
        with pytest.raises(error) as caught:
            CliRunner().invoke(
                app,
                ["leaderboard", whole, path, "--out", str(tmp_path / "x")],
                catch_exceptions=False,
            )
        assert caught.value.exit_code == (4 if error is DataError else 2)
        assert not (tmp_path / "x").exists()

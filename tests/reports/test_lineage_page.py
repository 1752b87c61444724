"""The lineage page tells a real loop: every attempt with its evidence, the bulge, the price of repairs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.cli.app import app
from waterbed.harness.cli.loop import write_lineage
from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.lineage import Lineage, read_lineage
from waterbed.harness.lineage_matrix import LineageMatrix, lineage_matrix
from waterbed.harness.run import Run
from waterbed.reports.budget import PAGE_BYTES, PLANS
from waterbed.reports.lineage_page import write_lineage_page
from waterbed.reports.lineage_view import lineage_view

HOSTILE = "</script><img src=x onerror=alert(1)>\u202e"

Told = list[tuple[int, str]]


@pytest.fixture(scope="module")
def made(
    pocket_base: Checkpoint, example_loop: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Told]:
    """The folder of a finished loop, and (attempts decided, headline) of the page at each telling."""
    seen: Told = []

    def told(where: Path) -> None:
        page = write_lineage_page(where).read_text()
        decided = sum(
            "decided" in a for a in json.loads((where / "loop.json").read_text())["attempts"]
        )
        seen.append((decided, page.partition("<title>")[2].partition(":")[0]))

    return example_loop.run(pocket_base, tmp_path_factory.mktemp("loop"), told), seen


@pytest.fixture
def lineage(made: tuple[Path, Told]) -> Lineage:
    return read_lineage(made[0])


@pytest.fixture
def page(made: tuple[Path, Told], read: Callable[[Path], Any]) -> Any:
    return read(made[0] / "lineage.html")


@pytest.fixture
def edited(made: tuple[Path, Told], tmp_path: Path) -> Callable[..., Path]:
    """`edited(change, runs=True)`: a copy of the folder whose loop.json was changed."""

    def edit(change: Callable[[dict[str, Any]], None], *, runs: bool = True) -> Path:
        out = tmp_path / "copy"
        ignored = shutil.ignore_patterns(".lock", "*.safetensors", *(() if runs else ("runs",)))
        shutil.copytree(made[0], out, symlinks=True, ignore=ignored)
        record = json.loads((out / "loop.json").read_text())
        change(record)
        (out / "loop.json").write_text(json.dumps(record))
        return out

    return edit


def words(page: Any) -> str:
    return " ".join(page.words.split())


def test_the_page_is_written_after_each_decision_and_at_the_end(made: tuple[Path, Told]) -> None:
    decided = [count for count, _ in made[1]]
    assert decided == [1, 2, 3, 4, 4]
    assert {headline for _, headline in made[1][:-1]} == {"RUNNING"}
    assert made[1][-1][1] == "REGRESSION NOT REPAIRED"


def test_every_attempt_stands_with_its_fate_reason_sentence_and_a_link_that_leads_to_its_gate(
    made: tuple[Path, Told], page: Any, lineage: Lineage
) -> None:
    said = words(page).replace("−", "-")
    links = {e.attributes["href"] for e in page.all("a")}
    assert [a.name for a in lineage.attempts] == ["one.1", "one.2", "two.1", "three.1"]
    for attempt in lineage.attempts:
        assert attempt.judged is not None and attempt.label is not None
        for text in (attempt.label, attempt.why, attempt.judged.headline, attempt.judged.sentence):
            assert text in said
        link = f"gates/{attempt.name}/gate.html"
        assert link in links and (made[0] / link).is_file()


def test_each_cell_of_the_tree_is_what_the_gate_of_that_attempt_saw(
    page: Any, lineage: Lineage
) -> None:
    tree = page.one("table", class_="tree")
    shown = [e.attributes["value"] for e in page.all("data") if "td" in e.parents]
    for attempt in lineage.attempts:
        assert attempt.verdict is not None
        for domain in attempt.verdict.domain_list:
            assert repr(domain.delta) in shown
    lost = page.all("td", class_="cell fail lost")
    assert len(lost) == sum(
        d.badge == "fail" for a in lineage.attempts for d in a.verdict.domain_list
    )  # type: ignore[union-attr]
    assert "one.1" in tree.text


def test_a_loss_hangs_below_the_waterline_and_a_gain_stands_above_it(page: Any) -> None:
    titles = [t.text for t in page.all("title") if " points" in t.text and "td" in t.parents]
    bars = [e.attributes for e in page.all("rect", width="40%")]
    assert any("regressed: −" in title for title in titles)
    for title, bar in zip(titles, bars, strict=True):
        top, height = float(bar["y"]), float(bar["height"])
        assert (top if ": −" in title else top + height) == pytest.approx(20)
    assert max(float(bar["height"]) for bar in bars) == 18


def test_the_steps_of_what_was_accepted_add_up_to_the_change_since_the_anchor(
    lineage: Lineage,
) -> None:
    found = lineage_matrix(lineage)
    assert isinstance(found, LineageMatrix)
    matrix = found.matrix
    assert matrix.stages == ("base", "one.2", "three.1")
    for name in matrix.domains:
        steps = sum(matrix.step[stage, name].delta for stage in matrix.stages[1:])
        assert steps == pytest.approx(matrix.cumulative["three.1", name].delta, abs=1e-12)
        ends = [Run.open(lineage.run(stage)) for stage in ("base", "three.1")]  # type: ignore[arg-type]
        old, new = (
            r.scores().query("task == @task")["value"] for r in ends for task in [f"pocket/{name}"]
        )
        assert new.mean() - old.mean() == pytest.approx(
            matrix.cumulative["three.1", name].delta, abs=1e-12
        )


def test_a_repair_is_shown_with_what_it_cost_and_what_the_reserve_confirmed(
    page: Any, lineage: Lineage
) -> None:
    mended, lost = lineage.prices
    assert (mended.step.name, mended.final and mended.final.name) == ("one", "one.2")
    assert (lost.step.name, lost.final) == ("two", None)
    second = lineage.attempts[1]
    assert (mended.tries, mended.seconds, mended.tokens) == (1, second.seconds, second.tokens)
    assert mended.tokens > 0 and mended.change is not None
    table = page.one("table", class_="repairs").text
    assert "rolled back" in table and "no harm shown" in table
    assert second.confirmation is not None
    confirmed = f"On the reserve, {second.confirmation.items:,} items that no decision had read"
    assert confirmed in " ".join(page.one("section", id="attempts").text.split())


def test_a_remedy_that_does_not_apply_says_so_at_its_own_stage(page: Any) -> None:
    (said,) = [e.text for e in page.all("li", class_="muted") if "no replay" in e.text]
    assert "has no 'data' to mix rows into" in said


def test_every_run_knows_how_large_its_checkpoint_is(
    lineage: Lineage, pocket_base: Checkpoint
) -> None:
    weights = pocket_base.path / "model.safetensors"
    for name in lineage.trunk:
        path = lineage.run(name)
        assert path is not None
        assert Run.open(path).manifest["size"]["bytes"] == weights.stat().st_size


def test_toy_model_stands_beside_every_figure_of_pocket_suites(page: Any) -> None:
    headings = page.all("h1") + [h for h in page.all("h2") if "Recipe" not in h.text]
    assert len(headings) == 5
    assert all("(toy model)" in heading.text for heading in headings)


def test_training_curves_show_where_they_began_and_ended(page: Any) -> None:
    (curves,) = page.all("ul", class_="curves")
    assert "loss" in curves.text and "1 → 0.0185, step 399" in curves.text


def test_nothing_on_the_page_loads_or_runs_anything(page: Any) -> None:
    assert not [e for e in page.elements if e.tag in ("img", "iframe", "object", "embed")]
    assert "http" not in page.source.replace("http-equiv", "")
    assert len(page.all("script")) == 1
    assert "\u202e" not in page.source


def test_hostile_names_and_texts_are_shown_and_reach_no_file(
    edited: Callable[..., Path], read: Callable[[Path], Any]
) -> None:
    def change(record: dict[str, Any]) -> None:
        record["sentence"] = HOSTILE
        record["recipe"]["stages"][0] |= {"name": f"../..{HOSTILE}", "stage": HOSTILE}
        for attempt in record["attempts"][:2]:
            attempt |= {"attempt": f"../..{HOSTILE}.1", "why": HOSTILE, "stage": HOSTILE}
            attempt["judged"]["verdict"]["sentence"] = HOSTILE
            attempt["decided"]["evidence"]["sentence"] = HOSTILE

    out = edited(change)
    page = read(write_lineage_page(out))
    assert not page.all("img") and len(page.all("script")) == 1
    assert "</script><img src=x onerror=alert(1)>⟨U+202E⟩" in page.words
    first = read_lineage(out).attempts[0]
    assert [first.file(kind) for kind in ("run", "metrics", "gate", "verdict")] == [None] * 4


def test_four_hundred_attempts_stay_within_a_megabyte_and_the_page_says_what_is_left_out(
    edited: Callable[..., Path], read: Callable[[Path], Any]
) -> None:
    def change(record: dict[str, Any]) -> None:
        (step, *_), (attempt, *_) = record["recipe"]["stages"], record["attempts"]
        names = [f"s{number}" for number in range(20)]
        record["recipe"]["stages"] = [{**step, "name": name} for name in names]
        record["attempts"] = [
            {**attempt, "attempt": f"{name}.{k}", "settings": {"x": "y" * 3000}}
            for name in names
            for k in range(1, 21)
        ]

    out = edited(change)
    metrics = out / "checkpoints" / "one.1.metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:70]))
    for attempt in read_lineage(out).attempts:
        shutil.copytree(out / "gates" / "one.1", out / "gates" / attempt.name)
        shutil.copyfile(metrics, out / "checkpoints" / f"{attempt.name}.metrics.jsonl")
    page = write_lineage_page(out)
    assert page.stat().st_size <= PAGE_BYTES
    assert "more rejected attempts at s19 are in loop.json" in words(read(page))


def test_a_claim_that_is_one_cluster_has_a_cell_and_no_split_into_halves(
    edited: Callable[..., Path],
) -> None:
    out = edited(lambda _: None)
    for stage in ("base", "one.2", "three.1"):
        file = out / "runs" / stage / "scores.parquet"
        rows = pd.read_parquet(file)
        one = rows["cluster"].where(rows["task"] != "pocket/knowledge", "one passage")
        rows.assign(cluster=one).to_parquet(file)
    found = lineage_matrix(read_lineage(out))
    assert isinstance(found, LineageMatrix)
    assert ("three.1", "knowledge") in found.matrix.step
    assert set(found.forgotten) == {"math"}


def test_without_the_runs_the_page_says_why_nothing_is_added_up(
    edited: Callable[..., Path], read: Callable[[Path], Any]
) -> None:
    page = read(write_lineage_page(edited(lambda _: None, runs=False)))
    assert "The Run of base is not in the folder" in page.words
    assert page.one("table", class_="tree")


def test_a_loop_that_began_with_nothing_has_its_first_checkpoint_as_the_anchor(
    edited: Callable[..., Path], read: Callable[[Path], Any]
) -> None:
    def change(record: dict[str, Any]) -> None:
        record["base"] = None
        record["attempts"] = record["attempts"][1:]
        record["attempts"][0]["parent"] = None

    out = edited(change)
    (out / "gates" / "one.2" / "verdict.json").unlink()
    assert read_lineage(out).trunk == ("one.2", "three.1")
    assert "What was accepted against one.2" in words(read(write_lineage_page(out)))


def test_a_first_stage_that_was_healed_keeps_the_marks_of_its_gate_against_the_anchor(
    edited: Callable[..., Path],
) -> None:
    def change(record: dict[str, Any]) -> None:
        record["attempts"][1] |= {"how": "heal", "parent": "one.1"}

    found = read_lineage(edited(change))
    healed = found.attempts[1].verdict
    assert healed is not None and healed.anchor is None
    view = lineage_view(found, lineage_matrix(found), {}, toy=True, plan=PLANS[0])
    marks = [cell.tone for cell in view.since[0].cells if cell]
    assert marks == [domain.badge for domain in healed.domain_list]
    assert "pass" in marks


def test_the_report_command_writes_the_page_of_a_loop_anew(
    edited: Callable[..., Path],
) -> None:
    out = edited(lambda _: None)
    before = (out / "lineage.html").read_bytes()
    (out / "lineage.html").unlink()
    done = CliRunner().invoke(app, ["report", str(out)], catch_exceptions=False)
    assert done.stdout.strip() == str(out / "lineage.html")
    assert (out / "lineage.html").read_bytes() == before


def test_the_loop_command_leaves_the_page(made: tuple[Path, Told]) -> None:
    page, recipe = made[0] / "lineage.html", made[0].parent / "recipe.yaml"
    page.unlink()
    asked = ["loop", str(recipe), "--out", str(made[0]), "--resume"]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 1, "a stage was rolled back"
    assert "three.1" in page.read_text()


def test_a_page_that_cannot_be_written_stops_no_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lineage(tmp_path)
    assert "The lineage page was not written: There is no loop at" in capsys.readouterr().err


def test_an_outcome_of_a_later_version_is_shown_as_it_is(
    edited: Callable[..., Path], read: Callable[[Path], Any]
) -> None:
    def change(record: dict[str, Any]) -> None:
        attempt = record["attempts"][0]
        attempt["decided"] |= {"label": "parked (odd)"}
        attempt["decided"]["evidence"]["outcome"] = "odd"

    assert "parked (odd)" in words(read(write_lineage_page(edited(change))))


def test_a_folder_without_a_loop_or_with_a_damaged_one_is_refused_in_a_sentence(
    made: tuple[Path, Told], edited: Callable[..., Path], tmp_path: Path
) -> None:
    whole = (made[0] / "loop.json").read_bytes()
    with pytest.raises(UsageError, match="There is no loop at"):
        write_lineage_page(tmp_path)
    with pytest.raises(DataError, match="schema version 99"):
        write_lineage_page(edited(lambda record: record.update(schema_version=99)))
    verdict = tmp_path / "copy" / "gates" / "one.1" / "verdict.json"
    verdict.write_text("{}")
    (tmp_path / "copy" / "loop.json").write_bytes(whole)
    with pytest.raises(DataError, match=r"^'[^']*verdict.json' is not a verdict"):
        write_lineage_page(tmp_path / "copy")
    for text in ('{"schema_version": 1}', "[" * 100_000):
        (tmp_path / "copy" / "loop.json").write_text(text)
        with pytest.raises(DataError, match="is damaged"):
            write_lineage_page(tmp_path / "copy")

"""The page of one Run shows every stored metric, and what the model did worst."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from waterbed.reports.run_page import write_run_page

RESULTS = {
    "math": {
        "metrics": {
            "correct": {"mean": 0.62, "se": 0.034, "n": 200, "unscored": {"backend_error": 2}}
        },
        "extra": {"answered": 0.98},
    },
    "safety": {
        "metrics": {
            "unsafe": {"mean": 0.03, "se": 0.012, "n": 180, "unscored": {}},
            "overrefusal": {"mean": None, "se": None, "n": 0, "unscored": {"judge_error": 180}},
        },
    },
}
TASKS = {
    "math": {"domain": "math", "metrics": [{"name": "correct", "better": "higher"}], "verified": "x"},
    "safety": {
        "domain": "safety",
        "metrics": [{"name": "unsafe", "better": "lower"}, {"name": "overrefusal", "better": "lower"}],
    },
}  # fmt: skip


@pytest.fixture
def show(examples: ModuleType, tmp_path: Path, read: Callable[[Path], Any]) -> Callable[..., Any]:
    def shown(**changes: Any) -> Any:
        manifest = {"schema_version": 1, "tasks": TASKS, "seed": 7, "backend": {"dtype": "float32"}}
        rows = [
            *(examples.score_row("math", f"m{i}", float(i % 2), reason=None if i % 2 else "wrong") for i in range(8)),
            examples.score_row("math", "lost", None, reason="backend_error"),
            *(examples.score_row("safety", f"s{i}", float(i == 3), "unsafe") for i in range(5)),
        ]  # fmt: skip
        texts = tuple(
            examples.generation_row("math", f"m{i}", f"answer {i}", f"ask {i}") for i in range(8)
        )
        given = {"manifest": manifest, "result_table": RESULTS, "score_rows": tuple(rows), "generation_rows": texts}  # fmt: skip
        run = examples.ExampleRun("sft-0041", **{**given, **changes})
        return read(write_run_page(run, tmp_path / "run.html"))

    return shown


def test_every_metric_has_its_mean_error_and_n(show: Callable[..., Any]) -> None:
    page = show()
    values = [e.attributes["value"] for e in page.one("section", id="figures") and page.all("data")]
    assert "answered 0.98" in " ".join(page.words.split())
    for found in RESULTS.values():
        for stored in found["metrics"].values():
            assert repr(stored["n"]) in values
            assert stored["mean"] is None or {repr(stored["mean"]), repr(stored["se"])} <= {*values}
    assert "judge_error" in page.words


def test_worst_samples_are_those_that_failed_with_text_and_reason(show: Callable[..., Any]) -> None:
    page = show()
    flips = page.all("details", class_="flip")
    assert len(flips) == 4 + 1
    assert "m0" in flips[0].text and "answer 0" in flips[0].text and "wrong" in flips[0].text
    assert "s3" in flips[-1].text


def test_settings_are_shown_flat(show: Callable[..., Any]) -> None:
    words = " ".join(show().words.split())
    assert "backend.dtype float32" in words
    assert "seed 7" in words


def test_the_page_calls_a_toy_a_toy(show: Callable[..., Any]) -> None:
    manifest = {"tasks": TASKS, "checkpoint": {"path": "x", "settings": {"toy": True}}}
    page = show(manifest=manifest)
    assert page.one("h1").text.endswith("(toy model)")
    assert "toy" not in show().words


def test_hostile_text_and_a_megabyte_stay_text_and_small(
    show: Callable[..., Any], examples: ModuleType, tmp_path: Path
) -> None:
    hostile = "</pre><script>x</script>\x00\u202e\ud800" + "x" * 1_000_000
    rows = tuple(examples.score_row("math", f"m{i}", 0.0, extracted=hostile) for i in range(50))
    texts = tuple(examples.generation_row("math", f"m{i}", hostile, hostile) for i in range(50))
    page = show(score_rows=rows, generation_rows=texts)
    assert len(page.all("script")) == 1
    assert (tmp_path / "run.html").stat().st_size < 1_000_000
    assert "cut, 1,000,027 characters in the Run" in page.words


def test_a_run_without_results_still_has_a_page(show: Callable[..., Any]) -> None:
    page = show(result_table={}, score_rows=(), generation_rows=(), manifest={})
    assert page.one("title").text == "sft-0041: complete run of nothing"


def test_a_table_that_is_not_in_the_results_is_not_invented(show: Callable[..., Any]) -> None:
    page = show(result_table={"math": RESULTS["math"]})
    assert "overrefusal" not in page.words

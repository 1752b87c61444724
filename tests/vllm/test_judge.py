"""The pocket judge behind `vllm serve` votes as it does here, and is measured the same, on a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from waterbed.harness.api import evaluate
from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.run import Run
from waterbed.reports.run_page import write_run_page

TASK = "pocket/chat-judged"
ITEMS = 120


@pytest.fixture(scope="module")
def runs(
    judge_address: str,
    pocket_judge: Checkpoint,
    pocket_base: Checkpoint,
    transformers_backend: TransformersBackend,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Run, Run]:
    """The same answers before the served judge and before the one that is loaded here."""
    folder = tmp_path_factory.mktemp("judged")
    found = []
    for name, judge in (("served", f"{judge_address}#judge"), ("here", pocket_judge.path)):
        run = evaluate(
            pocket_base,
            [TASK],
            folder / name,
            backend=transformers_backend,
            judges={"judge": judge},
            limit=ITEMS,
            cache=False,
        )
        found.append(run)
    return found[0], found[1]


def test_a_served_judge_votes_as_the_one_that_is_loaded_here(runs: tuple[Run, Run]) -> None:
    served, here = (run.scores().sort_values("sample_id") for run in runs)
    assert list(served["sample_id"]) == list(here["sample_id"])
    assert served["value"].notna().all()
    assert list(served["value"]) == pytest.approx(list(here["value"]), abs=1e-3)
    assert served["value"].nunique() > 10


def test_its_measured_figures_are_the_same_and_stand_on_the_page(
    runs: tuple[Run, Run], tmp_path: Path
) -> None:
    served, here = (run.results()[TASK]["judge"]["reliability"] for run in runs)
    assert served == here
    assert served["problems"] == []
    assert served["accuracy"] > 0.85 and served["swap_consistency"] > 0.8
    page = write_run_page(runs[0], tmp_path / "run.html").read_text(encoding="utf-8")
    for words in ("swap consistency", "first shown wins", "accuracy against the labels"):
        assert words in page
    judge = runs[0].manifest["cost"]["roles"]["judge"]
    assert judge["prompt_tokens"] > 1000  # the server counts what an echo takes
    assert "judge" in page[page.index('id="cost"') :]

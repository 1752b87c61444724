"""The pocket world's native function calls are scored by the rule and survive a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from waterbed import evaluate
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.records import Generate, Generation, Sample, Score, ToolCall
from waterbed.harness.run import Run
from waterbed.harness.tasks import tasks

TASK = "pocket/tools-native"
LIMIT = 24


def item(kind: str) -> Sample:
    return next(s for s in tasks.get(TASK).items if s.metadata["kind"] == kind)


def score(sample: Sample, *calls: ToolCall, text: str = "") -> Score:
    found = tasks.get(TASK).body.grade(sample, Generation(text, calls=calls))
    assert isinstance(found, Score)
    return found


def test_the_tools_are_offered_and_no_longer_told() -> None:
    sample = item("add")
    request = next(tasks.get(TASK).converse(sample))
    assert isinstance(request, Generate)
    assert [m.role for m in request.prompt] == ["user"]  # type: ignore[union-attr]
    names = [tool["function"]["name"] for tool in request.tools]
    assert names == [f["name"] for f in sample.target["functions"]]
    assert {t["function"]["parameters"]["type"] for t in request.tools} == {"object"}


def test_the_right_call_scores_one_and_others_say_why() -> None:
    sample = item("timer")
    ((name, accepted),) = sample.target["gold"].items()
    ((parameter, (minutes,)),) = accepted.items()
    right = ToolCall(name, f'{{"{parameter}": {minutes}}}')
    assert score(sample, right).value == 1.0
    assert score(sample, ToolCall(name, f'{{"{parameter}": "{minutes}"}}')).value == 0.0
    assert score(sample, right, right).value == 0.0
    assert score(sample, ToolCall(name, "{")).reason == "unparsed"
    assert score(sample, text="No tool fits.").value == 0.0
    assert score(sample).reason == "empty"


def test_where_no_tool_fits_any_call_is_wrong_and_words_are_right() -> None:
    sample = item("none")
    assert score(sample, text="No tool fits.").value == 1.0
    assert score(sample).reason == "empty"
    for arguments in ("{}", "{"):
        assert score(sample, ToolCall("f", arguments)).reason == "called_without_need"


def test_a_killed_run_of_native_calls_ends_in_the_same_bytes(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    whole = evaluated(pocket_base, tmp_path / "whole")
    half = (whole.path / "answers.jsonl").stat().st_size / 2
    cut = tmp_path / "cut"
    process = subprocess.Popen(command(pocket_base, cut), stderr=subprocess.DEVNULL)
    journal = cut / "answers.jsonl"
    while not (journal.exists() and journal.stat().st_size >= half):
        if process.poll() is not None:
            pytest.fail("finished before it was killed")
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Run.open(cut).status == "partial"
    evaluated(pocket_base, cut)
    for name in ("scores.parquet", "results.json"):
        assert (cut / name).read_bytes() == (whole.path / name).read_bytes(), name


def evaluated(checkpoint: Checkpoint, out: Path) -> Run:
    """What the command does, without another start of the interpreter."""
    options = {"batch_size": 4, "threads": 1}
    return evaluate(checkpoint.path, [TASK], out, options=options, cache=False, limit=LIMIT)


def command(checkpoint: Checkpoint, out: Path) -> list[str]:
    start = [sys.executable, "-m", "waterbed", "eval", str(checkpoint.path), "--suites", TASK]
    engine = ["--batch-size", "4", "--threads", "1", "--no-cache", "--limit", str(LIMIT)]
    return [*start, *engine, "--out", str(out)]

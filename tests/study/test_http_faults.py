"""A thousand requests under each fault of the line: what is lost, doubled, wrongly scored, and the time.

Every prompt meets the fault once; then one prompt in ten does, which is what time is measured on, since
twice the requests cannot take less than twice as long.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "harness" / "backends"))

import faulty_server
from faulty_server import KINDS, FaultyServer, serving
from test_openai import sums
from tiny_llama import TEMPLATE, save

from waterbed.harness.backends.openai import OpenAIBackend
from waterbed.harness.journal import MemoryLog
from waterbed.harness.runner import Outcome, Runner, TaskPlan

pytestmark = pytest.mark.study

COUNT = 1000
#: A server that takes this long for an answer, asked 64 at a time.
DELAY_S = 0.3
#: A stall lasts twice as long as anybody waits for it.
TIMEOUT_S = {"stall": 0.8}


def run(server: FaultyServer, kind: str) -> tuple[Outcome, float]:
    timeout = TIMEOUT_S.get(kind, 10.0)
    backend = OpenAIBackend(url=server.url, timeout_s=timeout, deadline_s=60.0)
    task = sums(COUNT)
    began = time.monotonic()
    try:
        outcome = Runner({"candidate": backend}, log=MemoryLog()).run([TaskPlan(task, task.items)])
    finally:
        backend.close()
    return outcome, time.monotonic() - began


def check(outcome: Outcome, server: FaultyServer) -> None:
    """Nothing lost, doubled or wrongly scored."""
    lost = [key for key, score in outcome.scores.items() if not score.scored]
    wrong = [key for key, score in outcome.scores.items() if score.value == 0.0]
    doubled = [k for k, n in Counter(e.key for e in outcome.entries).items() if n > 1]
    assert (len(lost), len(wrong), len(doubled)) == (0, 0, 0)
    assert len(outcome.scores) == len(outcome.entries) == len(server.answered) == COUNT


@pytest.fixture(autouse=True)
def _long_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faulty_server, "STALL_S", 1.6)


@pytest.fixture(scope="module")
def without_faults() -> float:
    with serving(delay_s=DELAY_S) as server:
        outcome, seconds = run(server, "")
        check(outcome, server)
    return seconds


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_doubled_or_wrongly_scored_where_every_request_fails_once(
    kind: str, record_property: Any
) -> None:
    with serving(kind) as server:
        outcome, seconds = run(server, kind)
        check(outcome, server)
    record_property("seconds", seconds)


@pytest.mark.parametrize("kind", KINDS)
def test_one_failure_in_ten_costs_less_than_the_run_itself(
    kind: str, without_faults: float, record_property: Any
) -> None:
    with serving(kind, only="7+", delay_s=DELAY_S) as server:
        outcome, seconds = run(server, kind)
        check(outcome, server)
    print(f"{kind}: {seconds:.1f} s against {without_faults:.1f} s: {seconds / without_faults:.2f}")
    record_property("ratio", seconds / without_faults)
    assert seconds < 2.0 * without_faults


@pytest.mark.parametrize("kind", ["burst", "drop", "broken"])
def test_after_half_a_second_in_which_nothing_works_the_run_goes_on_at_full_speed(
    kind: str, without_faults: float, record_property: Any
) -> None:
    with serving(kind, delay_s=DELAY_S, window=(1.0, 1.5)) as server:
        outcome, seconds = run(server, kind)
        check(outcome, server)
    print(f"{kind}: {seconds:.1f} s against {without_faults:.1f} s: {seconds / without_faults:.2f}")
    record_property("ratio", seconds / without_faults)
    assert seconds < 2.0 * without_faults


SUITE = '''
from waterbed import Sample, Score, task
from waterbed.harness.records import user

@task("killed/sums", domain="math")
class Sums:
    """Sums."""
    def samples(self):
        return [Sample(str(i), f"{i}+{i % 7}=", str(i + i % 7)) for i in range(1000)]
    def prompt(self, sample):
        return user(sample.input)
    def grade(self, sample, generation):
        return Score(float(generation.text == sample.target))
'''
SITTING = """
import sys
from waterbed.harness.api import evaluate
from waterbed.harness.backends.openai import OpenAIBackend
url, model, suite, out = sys.argv[1:]
evaluate(model, [suite], out, backend=OpenAIBackend(url=url, digest="d", concurrency=16))
"""


@pytest.mark.parametrize("kind", ["", "broken"])
def test_what_was_journaled_before_a_kill_is_not_asked_again(kind: str, tmp_path: Path) -> None:
    suite, out = tmp_path / "killed.py", tmp_path / "run"
    suite.write_text(SUITE)
    model = save(tmp_path / "model", template=TEMPLATE)
    with serving(kind, only="7+", delay_s=0.02) as server:
        command = [sys.executable, "-c", SITTING, server.url, str(model), str(suite), str(out)]
        kept: set[str] = set()
        for instant in (100, 400, 700):
            kept = killed_at(command, out / "answers.jsonl", instant)
            before = Counter(server.asked)
            assert len(kept) >= instant
        subprocess.run(command, check=True, env=os.environ)
        again = {p for p, n in server.asked.items() if n > before[p]}
    journal = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert len(journal) == len({row["key"] for row in journal}) == COUNT
    assert not again & {f"{i}+{int(i) % 7}=" for i in kept}
    assert len(again) == COUNT - len(kept)
    assert json.loads((out / "results.json").read_text())["killed/sums"]["metrics"]["correct"][
        "n"
    ] == (COUNT)


def killed_at(command: list[str], journal: Path, lines: int) -> set[str]:
    """Kill the evaluation once so many answers are journaled; the samples they belong to."""
    process = subprocess.Popen(command)
    while not journal.exists() or journal.read_bytes().count(b"\n") < lines:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole = journal.read_bytes().rsplit(b"\n", 1)[0].splitlines()
    return {str(json.loads(line)["sample"]) for line in whole}

"""What answers took is counted by role, and money only by prices that the user told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.backends.base import Ticket
from waterbed.harness.cost import Price, by_role, money
from waterbed.harness.errors import UsageError
from waterbed.harness.journal import Entry
from waterbed.harness.records import (
    Answer,
    Choice,
    Choose,
    Generate,
    Generation,
    GenerationSettings,
    Role,
    Score,
)
from waterbed.harness.roles import read_prices
from waterbed.harness.run import Run
from waterbed.reports.run_page import write_run_page

PRICES: dict[Role, Price] = {"candidate": Price(2.0, 10.0), "judge": Price(1.0, 0.0)}

SUITE = '''
from waterbed import Generate, Sample, Score, task
from waterbed.harness.records import Choose

@task("cost/sums", domain="math", style="completion", roles=("judge",))
class Sums:
    """The candidate goes on with a number; the judge names one as well, and weighs two letters."""
    def samples(self):
        return [Sample(str(n), n) for n in range(6)]
    def converse(self, sample):
        answer = yield Generate(f"What is {sample.input} plus 1?")
        yield Generate(f"What is {sample.input} plus 2?", role="judge")
        choice = yield Choose(answer.text or "?", (" yes", " no"), role="judge")
        return Score(float(choice.best))
'''


def entry(role: Role, answer: Answer, task: str = "t", *, cached: bool = False) -> Entry:
    request = Generate("?") if isinstance(answer, Generation) else Choose("?", ("a", "b"))
    ticket = Ticket(request, "?", GenerationSettings(), 0, task, "s", 0, 0)
    return Entry("key", role, ticket, answer, cached)


def said(prompt: int, completion: int, seconds: float = 1.0) -> Generation:
    return Generation("x", "stop", None, prompt, completion, seconds)


ENTRIES = [
    entry("candidate", said(100, 10, 0.5)),
    entry("candidate", said(300, 30, 1.5), "u"),
    entry("candidate", said(500, 50, 0.0), cached=True),
    entry("judge", Choice((-1.0, -2.0), (1, 1), 800, 2)),
    entry("judge", Choice((-1.0, -2.0), (1, 1))),
]


def test_tokens_and_waiting_are_counted_by_role_and_what_nobody_counted_is_none() -> None:
    found = by_role(ENTRIES)
    assert found["candidate"] == {
        "answers": 3,
        "cached": 1,
        "prompt_tokens": 900,
        "completion_tokens": 90,
        "median_s": 1.0,
    }
    assert (found["judge"]["prompt_tokens"], found["judge"]["median_s"]) == (800, None)
    (only,) = by_role(ENTRIES[-1:]).values()
    assert only["prompt_tokens"] is None


def test_money_is_counted_by_role_task_and_solved_item_without_what_was_cached() -> None:
    solved = {("t", "s", 0): Score(1.0), ("u", "s", 0): Score(0.0)}
    found = money(ENTRIES, solved, PRICES)
    of_t, of_u, judged = 300 / 1e6, 900 / 1e6, 800 / 1e6
    assert found["by_role"] == {
        "candidate": pytest.approx(of_t + of_u),
        "judge": pytest.approx(judged),
    }
    assert found["total"] == pytest.approx(of_t + of_u + judged)
    assert found["by_task"] == {"t": pytest.approx(of_t + judged), "u": pytest.approx(of_u)}
    assert found["per_solved"] == {"t": pytest.approx(of_t + judged), "u": None}
    assert found["uncounted"] == 1
    assert found["prices"]["judge"] == {"prompt": 1.0, "completion": 0.0}
    assert money(ENTRIES, solved, {}) == {}


@pytest.mark.parametrize(
    "text", ["judge", "judge=2", "judge=2,8,9", "judge=two,8", "sandbox=1,1", "judge=nan,1"]
)
def test_a_price_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write it like judge=2,8"):
        read_prices([text])


def test_prices_are_not_negative() -> None:
    assert read_prices(["judge=2,8.5", "user=0,0"])["judge"] == Price(2.0, 8.5)
    with pytest.raises(UsageError, match="0 or more"):
        read_prices(["judge=-1,1"])


def test_terminal_and_page_show_what_each_role_took_and_cost(
    waterbed: Callable[..., Any], pocket_base: Any, tmp_path: Path
) -> None:
    suite, out = tmp_path / "sums.py", tmp_path / "run"
    suite.write_text(SUITE)
    command: Iterable[object] = (
        *("eval", pocket_base.path, "--suites", suite, "--judge", pocket_base.path),
        *("--out", out, "--no-cache", "--price", "judge=2,8"),
    )
    done = waterbed(*command)
    assert done.code == 0, done.err
    cost = Run.open(out).manifest["cost"]
    judge = cost["roles"]["judge"]
    assert judge["answers"] == 12 and judge["prompt_tokens"] > 0
    spent = (2 * judge["prompt_tokens"] + 8 * judge["completion_tokens"]) / 1e6
    assert cost["money"]["by_role"] == {"judge": pytest.approx(spent)}
    assert cost["money"]["uncounted"] == 6  # what a model of ours weighs is not billed by anybody
    tokens = f"{judge['prompt_tokens']:,} + {judge['completion_tokens']:,} tokens"
    assert f"judge: 12 answers, {tokens}" in done.err
    assert f"{spent:.3g} by its price" in done.err
    assert "6 answers without a count of tokens are in no price." in done.err
    page = write_run_page(Run.open(out), tmp_path / "run.html").read_text()
    section = page[page.index('id="cost"') : page.index('id="worst"')]
    assert f"{spent:.3g}" in section and f"{judge['prompt_tokens']:,}" in section
    assert "without a count of tokens" in section

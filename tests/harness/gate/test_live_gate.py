"""The live gate: asks no more than the verdict needs, and a stored Run gives the same verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import waterbed
from waterbed import FakeBackend
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import IncomparableRuns, Interrupted
from waterbed.harness.gate import gate_runs
from waterbed.harness.gate_live import evaluate_live
from waterbed.harness.policy import Policy
from waterbed.harness.run import Run
from waterbed.harness.verdict import Verdict

SUITES = [str(Path(__file__).with_name("three_tasks.py"))]
POLICY = Policy(allow_unverified=True, max_mde=10)
ALL = 900
Answer = Callable[[str], str]


def number(prompt: str) -> int:
    return int(prompt.split()[-1])


def solid(prompt: str) -> str:
    """Knows nine of ten."""
    return "?" if number(prompt) % 10 == 3 else prompt.upper()


def forgot_tools(prompt: str) -> str:
    return "?" if prompt.startswith("call") and number(prompt) % 2 else solid(prompt)


def better_at_math(prompt: str) -> str:
    return prompt.upper() if prompt.startswith("sum") else solid(prompt)


def engine(fn: Answer) -> FakeBackend:
    """In lockstep, like an engine whose answers depend on the batch."""
    backend = FakeBackend(fn, batch_size=16)
    backend.lockstep = True
    return backend


def checkpoint(name: str) -> Checkpoint:
    return Checkpoint(Path(name), name.ljust(64, "0"))


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("old") / "run"
    return waterbed.evaluate(checkpoint("old"), SUITES, out, backend=engine(solid))


def live(
    baseline: Run, fn: Answer, out: Path, target: str | None = None, policy: Policy = POLICY
) -> tuple[Run, Verdict]:
    run = evaluate_live(
        baseline, checkpoint("new"), policy, SUITES, out, target=target, backend=engine(fn)
    )
    return run, gate_runs(baseline, run, policy, target=target, suites=SUITES)


def asked(run: Run) -> dict[str, int]:
    return {str(k): int(v) for k, v in run.scores().groupby("task").size().items()}


def test_the_same_model_again_is_let_through_early(baseline: Run, tmp_path: Path) -> None:
    run, verdict = live(baseline, solid, tmp_path / "run")
    assert run.status == "stopped"
    assert (verdict.exit_code, verdict.headline) == (0, "NO HARM SHOWN")
    assert {d.badge for d in verdict.domain_list} == {"pass"}
    assert verdict.early is not None
    assert verdict.early.items_read == len(run.scores()) < 0.8 * ALL
    assert verdict.early.items_planned == ALL
    assert verdict.early.tokens_saved > 0
    assert verdict.warnings[0].startswith(f"Stopped early: {len(run.scores())} of 900 items")
    assert verdict.pooled is not None
    assert verdict.pooled.badge == "pass"
    math = verdict.domains["math"]
    assert "stopped_early" in math.flags
    assert math.sentence.endswith("of 300 items; where one stops early, the estimate exaggerates.")


def test_a_collapsed_model_is_stopped_at_the_first_look(baseline: Run, tmp_path: Path) -> None:
    run, verdict = live(baseline, lambda _: "?", tmp_path / "run")
    assert (verdict.exit_code, verdict.headline) == (1, "REGRESSION")
    assert asked(run) == {"live/code": 30, "live/math": 30, "live/tools": 30}
    assert {d.badge for d in verdict.domain_list} == {"fail"}


def test_a_lost_domain_stops_while_the_others_are_decided(baseline: Run, tmp_path: Path) -> None:
    run, verdict = live(baseline, forgot_tools, tmp_path / "run")
    assert verdict.exit_code == 1
    assert {k: d.badge for k, d in verdict.domains.items()} == {
        "code": "pass",
        "math": "pass",
        "tools": "fail",
    }
    assert asked(run)["live/tools"] < asked(run)["live/math"] < 300


def test_a_waived_loss_neither_stops_the_gate_nor_counts_in_its_mean(
    baseline: Run, tmp_path: Path
) -> None:
    waiver = {
        "claim": "tools",
        "owner": "ada",
        "reason": "known",
        "expires": "2999-01-01",
    }
    rules = Policy.model_validate({"allow_unverified": True, "max_mde": 10, "waivers": [waiver]})
    run, verdict = live(baseline, forgot_tools, tmp_path / "run", policy=rules)
    assert (verdict.exit_code, verdict.headline) == (0, "NO NEW HARM SHOWN")
    assert verdict.domains["tools"].badge == "fail"
    assert verdict.pooled is not None
    assert verdict.pooled.delta == 0
    assert run.status == "stopped"


def test_a_target_goes_on_until_its_gain_is_decided(baseline: Run, tmp_path: Path) -> None:
    still, _ = live(baseline, solid, tmp_path / "still", target="math")
    assert asked(still)["live/math"] == 300
    assert asked(still)["live/code"] < 300
    gained, verdict = live(baseline, better_at_math, tmp_path / "gained", target="math")
    assert "gain" in verdict.domains["math"].flags
    assert asked(gained)["live/math"] < 300
    assert verdict.waterbed is not None
    assert verdict.waterbed.gainers == ("math",)


def test_a_stored_run_gives_the_same_verdict_and_keeps_its_boundaries(
    baseline: Run, tmp_path: Path
) -> None:
    run, verdict = live(baseline, forgot_tools, tmp_path / "run")
    again = gate_runs(Run.open(baseline.path), Run.open(run.path), POLICY, suites=SUITES)
    said = [json.dumps(v.to_dict(), sort_keys=True) for v in (again, verdict)]
    assert said[0] == said[1]
    verdict.save(tmp_path / "verdict.json")
    assert Verdict.load(tmp_path / "verdict.json") == verdict
    assert verdict.early is not None
    tools = next(c for c in verdict.early.claims if c.id == "tools")
    assert tools.units == tuple(range(30, 301, 30))
    assert len(tools.bounds_fail) == 10
    assert tools.bounds_fail[0] > tools.bounds_fail[-1] > 1.8


def test_the_same_gate_asks_the_same_items(baseline: Run, tmp_path: Path) -> None:
    first, _ = live(baseline, forgot_tools, tmp_path / "first")
    second, _ = live(baseline, forgot_tools, tmp_path / "second")
    for name in ("scores.parquet", "results.json"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()


@pytest.mark.parametrize("share", [0.4])
def test_a_gate_that_was_killed_keeps_its_decision(
    baseline: Run, tmp_path: Path, share: float
) -> None:
    whole, verdict = live(baseline, solid, tmp_path / "whole")
    out = tmp_path / "cut"
    calls = 0

    def watch(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls > share * len(whole.scores()):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        evaluate_live(
            baseline,
            checkpoint("new"),
            POLICY,
            SUITES,
            out,
            backend=engine(solid),
            progress=watch,
        )
    assert Run.open(out).status == "partial"
    resumed, again = live(baseline, solid, out)
    for name in ("scores.parquet", "results.json"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert again.sentence == verdict.sentence
    assert again.early is not None
    assert verdict.early is not None
    assert (again.early.frame, again.early.claims) == (verdict.early.frame, verdict.early.claims)


def test_another_policy_cannot_take_a_run_stopped_by_this_one_for_its_own(
    baseline: Run, tmp_path: Path
) -> None:
    run, _ = live(baseline, solid, tmp_path / "run")
    other = gate_runs(
        baseline, run, Policy(allow_unverified=True, max_mde=10, alpha_fail=0.01), suites=SUITES
    )
    assert other.early is None
    assert other.exit_code == 3
    assert "stopped before its last item" in " ".join([other.sentence, *other.warnings])


def test_what_was_left_out_of_a_stopped_run_cannot_make_it_green(
    baseline: Run, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    run, _ = live(baseline, solid, tmp_path / "run")
    table = pq.read_table(run.path / "scores.parquet")
    pq.write_table(table.slice(0, 100), run.path / "scores.parquet")
    assert gate_runs(baseline, run, POLICY, suites=SUITES).exit_code in (3, 4)


def test_other_prompts_are_refused_on_the_items_that_were_asked(
    baseline: Run, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    run, _ = live(baseline, solid, tmp_path / "run")
    file = run.path / "generations.parquet"
    table = pq.read_table(file)
    where = table.schema.get_field_index("prompt_hash")
    hashes = ["0" * 16, *table["prompt_hash"].to_pylist()[1:]]
    pq.write_table(table.set_column(where, "prompt_hash", [hashes]), file)
    with pytest.raises(IncomparableRuns, match=r"live/code\.prompts: 1 of \d+ common ones differ"):
        gate_runs(baseline, run, POLICY, suites=SUITES)

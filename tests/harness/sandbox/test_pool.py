"""The pool's manners: order, limits, outcomes, second tries, broken workers, refusals."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from waterbed.harness.errors import NoSandbox
from waterbed.harness.sandbox import Call, Execution, Limits, Program, Sandbox, Source, Stdio, pool

ADD = 'def add(x, y):\n    """Add."""\n'
TEST = "def check(candidate):\n    for i in range(5):\n        assert candidate(i, 7) == i + 7\n"
GOOD = Program(ADD, "    return x + y\n", Call(TEST), "add", Limits(wall_s=10.0))


def _with(body: str, **limits: Any) -> Program:
    return replace(GOOD, completion=body, limits=replace(GOOD.limits, **limits))


def _one(sandbox: Sandbox, program: Program) -> Execution:
    ((index, execution),) = sandbox.run([program])
    assert index == 0
    return execution


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("    return x + y\n", "passed"),
        ("    return x - y\n", "failed"),
        ("    return x +\n", "failed"),
        ("    raise ValueError('x')\n", "failed"),
        ("    raise SystemExit(0)\n", "failed"),
        ("    import os\n    os._exit(0)\n", "failed"),
        ("    import ctypes\n    ctypes.string_at(0)\n", "crashed"),
        ("    import os\n    os.abort()\n", "crashed"),
        ("    return bytearray(1 << 32) and x + y\n", "limit"),
        ("    return 'A' * (20 << 20)\n", "limit"),
    ],
)
def test_each_way_to_end_has_its_outcome(sandbox: Sandbox, body: str, outcome: str) -> None:
    execution = _one(sandbox, _with(body))
    assert execution.outcome == outcome, execution
    assert execution.level == sandbox.level
    assert execution.integrity == "split"


def test_a_loop_is_stopped_in_time(sandbox: Sandbox) -> None:
    execution = _one(sandbox, _with("    while True: pass\n", wall_s=0.5))
    assert execution.outcome == "timeout"
    assert 0.5 <= execution.wall_s < 3.0
    assert execution.cpu_s > 0


def test_a_limit_on_processor_time_holds_where_the_clock_is_generous(sandbox: Sandbox) -> None:
    body = "    import resource\n    return resource.getrlimit(resource.RLIMIT_CPU)[0] + x\n"
    check = Call("def check(candidate):\n    assert candidate(0, 0) == 11\n")
    assert _one(sandbox, replace(_with(body), check=check)).passed


def test_results_come_with_the_position_of_their_program(any_sandbox: Sandbox) -> None:
    bodies = ["    return x + y\n", "    return x\n"] * 20
    found = dict(any_sandbox.run(map(_with, bodies)))
    assert sorted(found) == list(range(40))
    assert [found[index].passed for index in range(40)] == [True, False] * 20


def test_programs_are_taken_only_as_workers_get_free(any_sandbox: Sandbox) -> None:
    taken = []

    def endless() -> Iterator[Program]:
        for number in itertools.count():
            taken.append(number)
            yield GOOD

    results = any_sandbox.run(endless())
    for seen in range(1, 6):
        next(results)
        assert len(taken) <= seen + 2
    results.close()  # type: ignore[attr-defined]
    assert _one(any_sandbox, GOOD).passed


def test_a_slow_consumer_makes_no_timeouts(any_sandbox: Sandbox) -> None:
    results = any_sandbox.run([_with("    return x + y\n", wall_s=0.6)] * 4)
    first = next(results)
    time.sleep(1.2)
    assert all(execution.passed for _, execution in [first, *results])


def test_samples_of_different_problems_never_share_a_test(any_sandbox: Sandbox) -> None:
    """One checker serves many tests; each must be judged by its own."""
    programs = []
    for number in range(30):
        test = f"def check(candidate):\n    assert candidate(1, 1) == {number % 3}\n"
        programs.append(replace(_with(f"    return {number % 2}\n"), check=Call(test)))
    found = dict(any_sandbox.run(programs))
    assert [found[n].passed for n in range(30)] == [n % 2 == n % 3 for n in range(30)]


def test_a_test_that_changes_builtins_does_not_reach_the_next(sandbox: Sandbox) -> None:
    worker = sandbox._workers[0]
    evil = f"import builtins\nbuiltins.len = None\nbuiltins.range = lambda n: []\n{TEST}"
    _one(sandbox, replace(GOOD, check=Call(evil)))
    assert _one(sandbox, _with("    return 0\n")).outcome == "failed"
    assert _one(sandbox, GOOD).passed
    assert sandbox._workers[0] is worker


@pytest.mark.parametrize(
    "test", ["def check(candidate):\n    pass\n", "def check(candidate:\n"], ids=["idle", "syntax"]
)
def test_a_broken_test_is_the_instruments_fault(sandbox: Sandbox, test: str) -> None:
    assert _one(sandbox, replace(GOOD, check=Call(test))).outcome == "sandbox_error"


def test_changed_arguments_are_written_back(sandbox: Sandbox) -> None:
    prompt = "def order(xs, d):\n"
    test = (
        "def check(order):\n    xs, d = [3, 1, 2], {}\n    assert order(xs, d) is None\n"
        "    assert xs == [1, 2, 3] and d == {'n': 3}\n"
    )
    body = "    xs.sort()\n    d['n'] = len(xs)\n"
    assert _one(sandbox, Program(prompt, body, Call(test), "order")).passed


def test_a_method_of_a_class_can_be_the_entry_point(sandbox: Sandbox) -> None:
    source = "class Solution:\n    def twice(self, v):\n        return [v, v]\n"
    check = Call("def check(candidate):\n    assert candidate('a') == ['a', 'a']\n")
    assert _one(sandbox, Program("", source, check, "Solution().twice")).passed


def test_scripts_are_judged_case_by_case(sandbox: Sandbox) -> None:
    source = "import sys\nfor line in sys.stdin:\n    print(int(line) * 2, ' ')\n"
    good = Stdio((("1\n2\n", "2\n4"), ("5", "10.0\n"), ("", "")))
    assert _one(sandbox, Program("", source, good)).passed
    for wanted in ("2\n4\n6", "2", "2\n5", ""):
        verdict = _one(sandbox, Program("", source, Stdio((("1\n2\n", wanted),))))
        assert verdict.outcome == "failed", wanted


def test_a_script_that_prints_right_and_then_fails_has_failed(sandbox: Sandbox) -> None:
    check = Stdio((("", "1"),))
    assert _one(sandbox, Program("", "print(1)\n", check)).passed
    assert _one(sandbox, Program("", "print(1)\nexit()\n", check)).passed
    assert _one(sandbox, Program("", "print(1)\nraise ValueError\n", check)).outcome == "failed"
    assert _one(sandbox, Program("", "print(1)\nexit(3)\n", check)).outcome == "failed"


def test_a_flood_of_output_is_a_limit(sandbox: Sandbox) -> None:
    limits = Limits(wall_s=10.0, output_bytes=1 << 20)
    flood = Program("", "while True: print('A' * 1000)\n", Stdio((("", "A"),)), limits=limits)
    assert _one(sandbox, flood).outcome == "limit"


def test_shared_mode_is_labelled_and_needs_the_test_to_reach_its_end(sandbox: Sandbox) -> None:
    shared = replace(GOOD, check=Source(f"{TEST}\ncheck(add)"))
    done = _one(sandbox, shared)
    assert (done.outcome, done.integrity) == ("passed", "shared")
    for body in ("    return 0\n", "    import os\n    os._exit(0)\n"):
        assert not _one(sandbox, replace(shared, completion=body)).passed


def test_a_second_try_is_made_alone_and_both_are_reported(
    any_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_ASLEEP", -1.0)  # so that a sleeper counts as kept waiting
    sleeper = _with("    import time\n    time.sleep(60)\n", wall_s=0.4)
    found = dict(any_sandbox.run([GOOD, sleeper, GOOD, GOOD]))
    assert [found[index].passed for index in range(4)] == [True, False, True, True]
    assert found[1].outcome == "timeout"
    assert found[1].first_try is not None
    assert found[1].first_try.outcome == "timeout"
    assert Execution.from_json(found[1].to_json()) == found[1]


def test_a_worker_that_dies_is_replaced_and_its_program_run_again(sandbox: Sandbox) -> None:
    worker = sandbox._workers[0]
    assert worker is not None
    os.kill(worker._candidates.process.pid, signal.SIGKILL)
    assert _one(sandbox, GOOD).passed
    assert sandbox._workers[0] is not worker


def test_a_level_that_cannot_be_entered_any_more_is_a_sandbox_error(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox.open(level, 1) as own:
        own._retire(0)
        monkeypatch.setattr("waterbed.harness.sandbox.spawn._BOOT", "/nowhere")
        assert _one(own, GOOD).outcome == "sandbox_error"


def test_no_isolation_is_refused_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATERBED_UNSAFE_LOCAL_EXEC", raising=False)
    with pytest.raises(NoSandbox, match="--unsafe-local-exec"):
        Sandbox.open("L1")
    with Sandbox.open("L1", 1, unsafe_local_exec=True) as unsafe:
        assert _one(unsafe, GOOD).level == "L1"


def test_other_systems_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    for unsafe in (False, True):
        with pytest.raises(NoSandbox, match="Linux"):
            Sandbox.open("auto", unsafe_local_exec=unsafe)


def test_an_unknown_level_is_named() -> None:
    with pytest.raises(NoSandbox, match="L9"):
        Sandbox.open("L9")


def test_closing_leaves_no_process_and_no_file(
    leftovers: Any, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = leftovers(0)
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        monkeypatch.setattr(tempfile, "tempdir", place)  # other tests run beside this one
        os.chmod(place, 0o755)  # the program's user must come through
        with Sandbox.open(level, 2) as own:
            assert _one(own, GOOD).passed
            assert leftovers(0) > before
            assert os.listdir(place)
        assert leftovers(before) == before
        assert not os.listdir(place)


def test_limits_are_hashed_and_nonsense_is_refused() -> None:
    assert Limits().digest() == Limits().digest()
    assert len({Limits(**{name: 7}).digest() for name in ("wall_s", "inodes", "depth")}) == 3
    with pytest.raises(ValueError, match="wall_s"):
        Limits(wall_s=0)
    assert GOOD.digest() != replace(GOOD, allow_fork=True).digest()

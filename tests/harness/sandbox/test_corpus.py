"""No hostile program passes or does harm; every honest one passes, in the very same pool."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from waterbed.harness.sandbox import Call, Execution, Program, Sandbox, Source

Report = list[tuple[str, Any]]
_DAEMON_S = 2.4


def _run(sandbox: Sandbox, program: Program) -> Execution:
    ((_, execution),) = sandbox.run([program])
    return execution


def _in_shared_mode(program: Program) -> Program:
    assert isinstance(program.check, Call)
    return replace(program, check=Source(f"{program.check.test}\ncheck({program.entry_point})"))


def _run_all(
    sandbox: Sandbox, cases: Sequence[Any], host: Any, leftovers: Callable[[int], int]
) -> tuple[Report, Report, Report]:
    """Passing hostile programs, harm done, and honest ones that did not pass."""
    passed: Report = []
    harmful: Report = []
    refused: Report = []
    assert _run(sandbox, next(case.program for case in cases if not case.hostile)).passed
    idle = leftovers(0)  # whatever an idle pool, with its checker, and the victim are made of
    for case in cases:
        execution = _run(sandbox, case.program)
        if "daemon" in case.id:
            time.sleep(_DAEMON_S)
        if case.hostile and (execution.passed or execution.outcome == "sandbox_error"):
            passed.append((case.id, execution))
        if not case.hostile and not execution.passed:
            refused.append((case.id, execution))
        harm = host.harm()
        if (left := leftovers(idle)) > idle:
            harm.append(f"{left - idle} processes left over")
        if harm:
            harmful.append((case.id, harm))
    return passed, harmful, refused


def test_the_shared_corpus_neither_passes_nor_harms_and_its_honest_half_passes(
    sandbox: Sandbox, shared_corpus: Any, host: Any, leftovers: Any
) -> None:
    assert _run_all(sandbox, shared_corpus, host, leftovers) == ([], [], [])


def test_our_own_hostile_programs_neither_pass_nor_harm(
    sandbox: Sandbox, own_corpus: Any, host: Any, leftovers: Any
) -> None:
    assert sum(case.hostile for case in own_corpus) >= 40
    assert any(not case.hostile for case in own_corpus)
    assert _run_all(sandbox, own_corpus, host, leftovers) == ([], [], [])


def test_a_function_as_an_argument_works_in_shared_mode_too(
    sandbox: Sandbox, shared_corpus: Any
) -> None:
    (case,) = [case for case in shared_corpus if "callable-arg" in case.needs]
    assert _run(sandbox, case.program).integrity == "split"
    shared = _run(sandbox, _in_shared_mode(case.program))
    assert (shared.outcome, shared.integrity) == ("passed", "shared")

"""BFCL's check of calls against the reference's, alternating in one process; prints a table.

    python tests/bench/bench_bfcl.py [PASSES]

Needs WATERBED_DATA and WATERBED_VECTORS, and bfcl-eval (`pip install --no-deps bfcl-eval==2026.3.23`)
where the ratio is wanted. Both check the recorded candidate calls of every category, read beforehand;
`reading` is this package's decoding of the same Python calls from text. CPU seconds on one thread.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from waterbed.harness.records import Sample
from waterbed.suites.bfcl import judge, language_of, samples
from waterbed.suites.bfcl_decode import written_calls

Case = tuple[Sample, list[dict[str, Any]], bool]


def cases() -> list[Case]:
    """Item, candidate calls and the reference's recorded verdict."""
    items = {sample.id: sample for sample in samples()}
    path = Path(os.environ["WATERBED_VECTORS"]) / "bfcl.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [
        (items[row["id"]], ast.literal_eval(row["candidate"]), row["valid"])
        for row in rows
        if row["type"] == "ast" and row["name_mode"] == "keep"
    ]


def ours(found: list[Case]) -> list[bool]:
    return [judge(sample, calls).valid for sample, calls, _ in found]


def theirs(checker: Any, languages: Any, found: list[Case]) -> list[bool]:
    return [
        checker(
            sample.input["functions"],
            calls,
            sample.target["accepted"],
            languages(language_of(sample.target["category"])),
            sample.target["category"],
            "model",
        )["valid"]
        for sample, calls, _ in found
    ]


def reference() -> tuple[Any, Any]:
    """The reference's checker, without the table of models that imports every vendor's client."""
    models = ModuleType("bfcl_eval.constants.model_config")
    vars(models)["MODEL_CONFIG_MAPPING"] = {"model": SimpleNamespace(underscore_to_dot=False)}
    sys.modules[models.__name__] = models
    from bfcl_eval.constants.enums import Language  # type: ignore[import-not-found]
    from bfcl_eval.eval_checker.ast_eval.ast_checker import (  # type: ignore[import-not-found]
        ast_checker,
    )

    return ast_checker, Language


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main(passes: int) -> None:
    found = cases()
    wrong = sum(a != valid for a, (_, _, valid) in zip(ours(found), found, strict=True))
    print(f"{len(found)} candidates, {wrong} verdicts differ from the recorded ones")
    checkers: dict[str, Callable[[], object]] = {"waterbed": functools.partial(ours, found)}
    try:
        checkers["bfcl-eval"] = functools.partial(theirs, *reference(), found)
    except ImportError as error:
        print(f"bfcl-eval cannot be used here ({error}); no ratio")
    texts = [repr_of(calls) for sample, calls, _ in found if "java" not in sample.id]
    checkers["reading"] = lambda: [written_calls(text) for text in texts]
    seconds: dict[str, list[float]] = {name: [] for name in checkers}
    for _ in range(passes):
        for name, check in checkers.items():
            seconds[name].append(timed(check))
    base = statistics.median(seconds["waterbed"])
    print(f"{'checker':12}{'CPU s':>8}{'answers/s':>12}{'ratio':>8}")
    for name, spent in seconds.items():
        median = statistics.median(spent)
        many = len(texts) if name == "reading" else len(found)
        print(f"{name:12}{median:8.3f}{many / median:12.0f}{median / base:8.2f}")


def repr_of(calls: list[dict[str, Any]]) -> str:
    """The calls as a model would write them."""
    written = [
        f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        for call in calls
        for name, arguments in call.items()
    ]
    return f"[{', '.join(written)}]"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

"""IFEval scoring against lm-eval, alternating in one process; prints a table.

    python tests/bench/bench_ifeval.py [PASSES]

Needs WATERBED_DATA, and lm-eval with its NLTK data where the ratio is wanted (in an environment of its
own that also sees this package). Both score the authors' 541 GPT-4 answers, strict and loose, on one
thread, in CPU seconds, after a warm-up that loads profiles and parameters. `cold` empties this
package's caches before each pass, so that no pass profits from the one before.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from waterbed.harness.records import Generation, Sample
from waterbed.harness.tasks import tasks
from waterbed.suites import ifeval_language, ifeval_sentences

ANSWERS = "input_response_data_gpt4_20231107_145030.jsonl"


def load() -> list[tuple[Sample, str]]:
    lines = (Path(os.environ["WATERBED_DATA"]) / "ifeval" / ANSWERS).read_text("utf-8").splitlines()
    answers = [json.loads(line)["response"] for line in lines]
    return list(zip(tasks.get("ifeval").items, answers, strict=True))


def ours(pairs: list[tuple[Sample, str]]) -> list[tuple[list[bool], list[bool]]]:
    body = tasks.get("ifeval").body
    scores = [body.grade(sample, Generation(answer)) for sample, answer in pairs]
    return [(score.detail["strict"], score.detail["loose"]) for score in scores]


def ours_cold(pairs: list[tuple[Sample, str]]) -> list[tuple[list[bool], list[bool]]]:
    ifeval_language._short.cache_clear()
    ifeval_language._profile.cache_clear()
    splitter = ifeval_sentences.punkt()
    splitter.__self__._short_context_breaks.cache_clear()  # type: ignore[attr-defined]
    return ours(pairs)


def theirs(pairs: list[tuple[Sample, str]]) -> list[tuple[list[bool], list[bool]]]:
    from lm_eval.tasks.ifeval.utils import process_results  # type: ignore[import-not-found]

    found = []
    for sample, answer in pairs:
        row = {
            "key": int(sample.id),
            "prompt": sample.input,
            "instruction_id_list": sample.target["instructions"],
            "kwargs": sample.target["arguments"],
        }
        result = process_results(row, [answer])
        found.append((result["inst_level_strict_acc"], result["inst_level_loose_acc"]))
    return found


def timed(score: Callable[[], object]) -> float:
    began = time.process_time()
    score()
    return time.process_time() - began


def main(passes: int) -> None:
    pairs = load()
    scorers = {"waterbed": ours, "waterbed cold": ours_cold}
    try:
        import langdetect

        langdetect.DetectorFactory.seed = 0
        reference = theirs(pairs)
        scorers["lm-eval"] = theirs
    except ImportError:
        reference = None
        print("lm-eval is not importable here; no ratio")
    found = ours(pairs)
    if reference is not None:
        differ = [s.id for (s, _), a, b in zip(pairs, found, reference, strict=True) if a != b]
        print(f"verdicts that differ (1122 and 1129 are random in lm-eval): {differ or 'none'}")
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    for _ in range(passes):
        for name, score in scorers.items():
            seconds[name].append(timed(functools.partial(score, pairs)))
    slowest = max(statistics.median(s) for s in seconds.values())
    print(f"{'scorer':16}{'CPU s':>8}{'items/s':>10}{'ratio':>8}")
    for name, spent in seconds.items():
        median = statistics.median(spent)
        print(f"{name:16}{median:8.3f}{len(pairs) / median:10.0f}{slowest / median:8.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

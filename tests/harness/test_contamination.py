"""Items that were trained on are found and named; what cannot be known is not called clean."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from waterbed.harness import contamination
from waterbed.harness.contamination import TaskOverlap, overlap
from waterbed.harness.contamination_trace import SIDECAR, Sketch, Trace, leave_trace
from waterbed.harness.errors import DataError
from waterbed.harness.ngrams import N, ngram_hashes, words_of
from waterbed.harness.records import Sample, Score, user
from waterbed.harness.tasks import Task, task, tasks

WORDS = [f"word{i}" for i in range(400)]


def text(seed: int, words: int = 40) -> str:
    return " ".join(Random(seed).choices(WORDS, k=words))


def chat(question: str, answer: str = "yes") -> dict[str, Any]:
    turns = (("user", question), ("assistant", answer))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.fixture
def benchmark() -> Callable[..., Task]:
    def make(items: Sequence[Sample], before: str = "") -> Task:
        @task("contamination/test", domain="math")
        class Questions:
            """Questions."""

            def samples(self):
                return items

            def prompt(self, sample):
                return user(before + sample.input)

            def grade(self, sample, generation):
                return Score(1.0)

        return tasks.get("contamination/test")

    return make


def found(task: Task, rows: Sequence[Any]) -> TaskOverlap:
    return overlap(task, task.items, Trace.of(rows))


ITEMS = [Sample(str(i), text(i), "7") for i in range(30)]


def test_an_item_inside_a_longer_text_is_found_whatever_its_layout(benchmark: Any) -> None:
    copy = text(3).upper().replace(" ", ",\n ")
    seen = found(benchmark(ITEMS), [{"text": f"{text(900)} {copy} {text(901)}"}, chat(text(902))])
    assert seen.contaminated == ("3",)
    assert (seen.items, seen.partly, seen.unchecked) == (30, 0, 0)


def test_clean_training_text_finds_nothing(benchmark: Any) -> None:
    seen = found(benchmark(ITEMS), [chat(text(i), text(i + 1)) for i in range(1000, 1200)])
    assert (seen.contaminated, seen.partly) == ((), 0)


def test_a_part_of_an_item_is_counted_apart(benchmark: Any) -> None:
    half = " ".join(text(5).split()[:25])
    seen = found(benchmark(ITEMS), [chat(half)])
    assert (seen.contaminated, seen.partly) == ((), 1)


def test_a_short_prompt_counts_as_a_whole_only(benchmark: Any) -> None:
    items = [Sample("a", "What is 3 + 4?"), Sample("b", "What is 3 - 4?")]
    assert found(benchmark(items), [chat("what is 3 + 4")]).contaminated == ("a",)
    assert found(benchmark(items), [chat("Tell me: what is 3 + 4?")]).contaminated == ()


def test_a_short_prompt_inside_a_longer_text_is_counted_as_possible(benchmark: Any) -> None:
    items = [Sample(str(i), text(i, 16)) for i in range(10)]
    seen = found(benchmark(items), [{"text": f"Now solve: {text(4, 16)} Thanks!"}, chat(text(50))])
    assert (seen.contaminated, seen.partly) == ((), 1)


def test_a_gold_answer_that_was_trained_on_counts(benchmark: Any) -> None:
    items = [Sample(str(i), f"Question {i}?", {"proof": text(i)}) for i in range(5)]
    assert found(benchmark(items), [chat("Prove it.", text(2))]).contaminated == ("2",)


def test_what_all_items_share_is_no_overlap(benchmark: Any) -> None:
    rules = f"{text(777, 60)}\n"
    items = [Sample(str(i), rules + text(i)) for i in range(30)]
    assert found(benchmark(items), [{"text": rules}]).contaminated == ()
    assert found(benchmark(items), [{"text": rules}]).partly == 0


def test_worked_examples_in_a_prompt_may_come_from_training_data(benchmark: Any) -> None:
    shots = text(888, 60)
    assert found(benchmark(ITEMS[:5], before=f"{shots}\n"), [{"text": shots}]).contaminated == ()


def test_the_same_question_under_another_system_prompt_is_another_item() -> None:
    tools = tasks.get("pocket/tools")
    turns = [dict(turn) for turn in tools.items[0].input]
    answered = [*turns, {"role": "assistant", "content": "x"}]
    other = [{"role": "system", "content": "Tools:\nnone"}, *answered[1:]]
    assert found(tools, [{"messages": answered}]).contaminated == (tools.items[0].id,)
    assert found(tools, [{"messages": other}]).contaminated == ()


def test_both_answers_and_the_prompt_of_a_preference_count(benchmark: Any) -> None:
    answers = {
        side: [{"role": "assistant", "content": text(n)}]
        for side, n in (("chosen", 1), ("rejected", 2))
    }
    row = {"prompt": [{"role": "user", "content": text(0)}], **answers}
    assert found(benchmark(ITEMS), [row]).contaminated == ("0", "1", "2")


def test_ngrams_do_not_cross_texts_and_do_not_depend_on_what_came_before() -> None:
    first, second = (words_of(text(i)) for i in (1, 2))
    together = ngram_hashes([first, ["short"], second])
    assert together.tolist() == [*ngram_hashes([first]), *ngram_hashes([second])]
    assert len(together) == 2 * (40 - N + 1) == len(set(together.tolist()))
    assert not len(ngram_hashes([["short"]]))


def test_signs_without_spaces_are_words_of_their_own() -> None:
    assert words_of("数学の問題: x+1") == ["数", "学", "の", "問", "題", "x", "+", "1"]


def test_a_full_trace_keeps_a_known_share_and_still_finds_items(benchmark: Any) -> None:
    rows = [chat(text(i, 100)) for i in range(2000, 2400)]
    items = [Sample(str(i), text(i, 100)) for i in range(2390, 2420)]
    whole, thin = Trace.of(rows), Trace.of(rows, most=10_000)
    assert thin.ngrams.share == 0.25
    assert len(thin.ngrams.hashes) == pytest.approx(0.25 * len(whole.ngrams.hashes), rel=0.1)
    planted = [{"text": f"{text(i)} {item.input}"} for i, item in enumerate(items[::3])]
    thin = Trace.of([*rows, *planted], most=10_000)
    copies = {item.id for item in items[::3]} | {item.id for item in items if int(item.id) < 2400}
    assert set(overlap(benchmark(items), items, thin).contaminated) == copies


def test_an_item_that_the_kept_share_cannot_show_is_unchecked_not_clean(benchmark: Any) -> None:
    nothing = Sketch(np.empty(0, np.uint64), halvings=30)
    seen = overlap(benchmark(ITEMS), ITEMS, Trace(nothing, nothing))
    assert (seen.contaminated, seen.unchecked) == ((), 30)


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_child_inherits_what_its_parent_learned(tmp_path: Path, benchmark: Any) -> None:
    base, tuned, small = (folder(tmp_path / n) for n in ("base", "tuned", "small"))
    leave_trace(base, "pretrain", [{"text": text(1)}], None)
    leave_trace(tuned, "sft", [chat(text(2))], ("d1", base))
    leave_trace(small, "quantize", [], ("d2", tuned))
    trace = Trace.load(small)
    assert trace is not None
    assert (trace.rows, trace.unknown) == (2, ())
    assert overlap(benchmark(ITEMS), ITEMS, trace).contaminated == ("1", "2")


def test_an_ancestor_without_a_trace_and_a_silent_stage_are_named(tmp_path: Path) -> None:
    base, tuned, silent = (folder(tmp_path / n) for n in ("base", "tuned", "silent"))
    leave_trace(tuned, "sft", [chat(text(2))], ("d1", base))
    leave_trace(silent, "odd", None, ("d2", tuned))
    assert Trace.load(base) is None
    assert contamination.of_checkpoint(base, []) == {"status": "unknown"}
    record = contamination.of_checkpoint(silent, [])
    assert record["status"] == "partly_unknown"
    assert record["unknown_ancestors"] == ["d1", "stage odd"]


def damage(path: Path, how: str) -> None:
    if how == "bytes":
        path.write_bytes(path.read_bytes()[:-40])
    elif how == "order":
        told = json.dumps({"version": 1, "rows": 1, "unknown": [], "halvings": [0, 0]})
        twos = np.array([2, 1], np.uint64)
        np.savez(path, told=np.array(told), ngrams=twos, wholes=twos)
    elif how == "pickle":
        np.savez(path, told=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        np.savez(path, told=np.array('{"version": 9}'), ngrams=[], wholes=[])


@pytest.mark.parametrize("how", ["bytes", "order", "pickle", "version"])
def test_a_damaged_trace_is_refused_with_its_path(tmp_path: Path, how: str) -> None:
    Trace.of([chat(text(1))]).save(tmp_path)
    damage(tmp_path / SIDECAR, how)
    with pytest.raises(DataError, match=SIDECAR):
        Trace.load(tmp_path)

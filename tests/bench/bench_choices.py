"""200 multiple-choice items x 4 behind one 4-shot prefix: this backend and lm-eval's hf model.

    WATERBED_DATA=... PEER_PYTHON=/path/with/lm_eval/python python tests/bench/bench_choices.py

The phase is what follows loading: tokenizing, forward passes, log-probabilities. lm-eval runs as its
command line does, with one local task and batches of 16.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from side_by_side import Phase, compare, report
from small_llama import items, make

COUNT, PEER_BATCH = 200, 16
TASK = """
task: bench_choices
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: "{{choices}}"
doc_to_target: 0
target_delimiter: ""
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def waterbed(folder: Path) -> None:
    """This backend."""
    from waterbed.harness.backends.base import Ticket
    from waterbed.harness.backends.transformers import TransformersBackend
    from waterbed.harness.records import Choose, GenerationSettings

    backend = TransformersBackend(make(folder))
    asked = [Choose(row["prompt"], tuple(row["choices"])) for row in items(COUNT)]
    settings = GenerationSettings()
    phase = Phase()
    tickets = [
        Ticket(r, str(r.prompt), settings, 0, "bench", str(i), 0, 0) for i, r in enumerate(asked)
    ]
    found: list[list[float]] = [[]] * COUNT
    for batch in backend.batches(tickets):
        for i, answer in backend.answer([tickets[j] for j in batch]):
            found[batch[i]] = list(answer.logprobs)  # type: ignore[union-attr]
    report(**phase.figures(), output=found, threads=backend.threads, batch=backend.batch_size)


def lm_eval(folder: Path) -> None:
    """lm-eval, with a timer around the model's work."""
    import json

    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    data = folder / "choices.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in items(COUNT)))
    tasks = folder / "tasks_choices"
    tasks.mkdir(exist_ok=True)
    (tasks / "bench.yaml").write_text(TASK.replace("DATA", str(data)))
    timed: list[dict[str, float]] = []
    inner: Any = HFLM.loglikelihood

    def loglikelihood(*args: Any, **kwargs: Any) -> Any:
        phase = Phase()
        out = inner(*args, **kwargs)
        timed.append(phase.figures())
        return out

    HFLM.loglikelihood = loglikelihood  # type: ignore[method-assign]
    found: Any = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(folder), "dtype": "float32"},
        tasks=["bench_choices"],
        task_manager=TaskManager(include_path=str(tasks)),
        batch_size=PEER_BATCH,
        device="cpu",
        log_samples=True,
        bootstrap_iters=0,
    )
    rows = sorted(found["samples"]["bench_choices"], key=lambda r: r["doc_id"])
    report(**timed[0], output=[[r[0] for r in row["filtered_resps"]] for row in rows])


def same_choice(ours: list[list[float]], theirs: list[list[float]]) -> str:
    """How many items have the same best alternative, and the largest difference in nats."""
    equal = sum(a.index(max(a)) == b.index(max(b)) for a, b in zip(ours, theirs, strict=True))
    far = max(
        abs(x - y) for a, b in zip(ours, theirs, strict=True) for x, y in zip(a, b, strict=True)
    )
    return f"{equal} of {len(ours)} equal, within {far:.0e}"


if __name__ == "__main__":
    compare(__file__, {"waterbed": waterbed, "LM_EVAL": lm_eval}, same_choice)

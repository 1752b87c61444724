"""200 GSM8K prompts x 64 greedy tokens: this backend, Hugging Face `generate`, lm-eval's hf model.

    WATERBED_DATA=... PEER_PYTHON=/path/with/lm_eval/python python tests/bench/bench_generation.py

The phase is what follows loading: tokenizing, generating, detokenizing. All sides use batches of 64,
sorted by length. lm-eval runs as its command line does, with one local task.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from side_by_side import Phase, compare, report
from small_llama import make, prompts

COUNT, TOKENS, BATCH = 200, 64, 64
TASK = """
task: bench_generation
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_text: "{{prompt}}"
doc_to_target: ""
generation_kwargs: {until: ["Question:"], do_sample: false, max_gen_toks: TOKENS}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


def waterbed(folder: Path) -> None:
    """This backend."""
    from waterbed.harness.backends.base import Ticket
    from waterbed.harness.backends.transformers import TransformersBackend
    from waterbed.harness.records import Generate, GenerationSettings

    backend = TransformersBackend(make(folder))
    texts = prompts(COUNT)
    settings = GenerationSettings(max_tokens=TOKENS, stop=("Question:",))
    phase = Phase()
    tickets = [
        Ticket(Generate(t), t, settings, 0, "bench", str(i), 0, 0) for i, t in enumerate(texts)
    ]
    said: list[str] = [""] * COUNT
    for batch in backend.batches(tickets):
        for i, answer in backend.answer([tickets[j] for j in batch]):
            said[batch[i]] = answer.text  # type: ignore[union-attr]
    report(**phase.figures(), output=said, threads=backend.threads, batch=backend.batch_size)


def bare(folder: Path) -> None:
    """The shortest loop around `generate`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    make(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    texts = prompts(COUNT)
    phase = Phase()
    order = sorted(range(COUNT), key=lambda i: -len(tokenizer(texts[i]).input_ids))
    said = [""] * COUNT
    for start in range(0, COUNT, BATCH):
        which = order[start : start + BATCH]
        inputs = tokenizer([texts[i] for i in which], return_tensors="pt", padding=True)
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            out = model.generate(**inputs, do_sample=False, max_new_tokens=TOKENS)
        new = tokenizer.batch_decode(
            out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        for i, text in zip(which, new, strict=True):
            said[i] = text.split("Question:")[0]
    report(**phase.figures(), output=said, threads=torch.get_num_threads())


def lm_eval(folder: Path) -> None:
    """lm-eval, with a timer around the model's work."""
    import json

    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    data = folder / "generation.jsonl"
    data.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in prompts(COUNT)))
    tasks = folder / "tasks_generation"
    tasks.mkdir(exist_ok=True)
    text = TASK.replace("DATA", str(data)).replace("TOKENS", str(TOKENS))
    (tasks / "bench.yaml").write_text(text)
    timed: list[dict[str, float]] = []
    inner: Any = HFLM.generate_until

    def generate_until(*args: Any, **kwargs: Any) -> Any:
        phase = Phase()
        out = inner(*args, **kwargs)
        timed.append(phase.figures())
        return out

    HFLM.generate_until = generate_until  # type: ignore[method-assign]
    found: Any = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(folder), "dtype": "float32"},
        tasks=["bench_generation"],
        task_manager=TaskManager(include_path=str(tasks)),
        batch_size=BATCH,
        device="cpu",
        log_samples=True,
        bootstrap_iters=0,
    )
    rows = sorted(found["samples"]["bench_generation"], key=lambda r: r["doc_id"])
    report(**timed[0], output=[r["resps"][0][0] for r in rows])


def same_text(ours: list[str], theirs: list[str]) -> str:
    """How many answers are equal."""
    return f"{sum(a == b for a, b in zip(ours, theirs, strict=True))} of {len(ours)} equal"


if __name__ == "__main__":
    compare(__file__, {"waterbed": waterbed, "bare": bare, "LM_EVAL": lm_eval}, same_text)

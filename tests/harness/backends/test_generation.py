"""Generation with real, tiny, random models: what an answer may and may not depend on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llama import answers, ask, save

from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.errors import BackendError
from waterbed.harness.records import Execute, Fault, Generation

PROMPTS = ["the cat", "Question: what", "a", "the end of the story is that the cat sat on the mat"]
HEADER = "Question: what is two and two? Answer: four.\n" * 6


def texts(backend: Any, prompts: list[str], **settings: Any) -> list[str]:
    """Greedy texts of one batch."""
    return [a.text for a in answers(backend, [ask(backend, p, **settings) for p in prompts])]


def test_a_greedy_text_does_not_depend_on_its_neighbors(backend: TransformersBackend) -> None:
    together = texts(backend, PROMPTS, max_tokens=24)
    alone = [texts(backend, [p], max_tokens=24)[0] for p in PROMPTS]
    assert together == alone
    assert len(set(together)) == len(PROMPTS)


def test_greedy_texts_are_those_of_hugging_face_generate(
    backend: TransformersBackend, plain: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(plain, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(plain)
    inputs = tokenizer(PROMPTS, return_tensors="pt", padding=True, return_token_type_ids=False)
    out = model.generate(**inputs, do_sample=False, max_new_tokens=24)
    theirs = tokenizer.batch_decode(
        out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    assert texts(backend, PROMPTS, max_tokens=24) == theirs


def test_a_prefix_that_is_read_once_for_all_changes_no_text(backend: TransformersBackend) -> None:
    prompts = [HEADER + p for p in PROMPTS]
    together = texts(backend, prompts, max_tokens=16)
    assert backend.engine.prefix is not None
    assert len(backend.engine.prefix[0]) % 32 == 0
    assert together == [texts(backend, [p], max_tokens=16)[0] for p in prompts]


def test_many_answers_to_one_prompt_read_it_once(backend: TransformersBackend) -> None:
    prompt = "x" * 96  # a whole number of grains: the last token still belongs to each row
    assert texts(backend, [prompt] * 8, max_tokens=6) == texts(backend, [prompt], max_tokens=6) * 8
    assert backend.engine.prefix is not None
    assert len(backend.engine.prefix[0]) == 64


def test_rows_are_handed_out_as_they_finish(backend: TransformersBackend) -> None:
    lengths = [20, 3, 11, 1]
    tickets = [ask(backend, p, max_tokens=n) for p, n in zip(PROMPTS, lengths, strict=True)]
    assert [i for i, _ in backend.answer(tickets)] == [3, 1, 2, 0]
    counts = [a.completion_tokens for a in answers(backend, tickets)]
    assert counts == lengths


def test_a_stop_string_may_begin_inside_one_token_and_end_in_another(
    backend: TransformersBackend,
) -> None:
    whole = texts(backend, ["the cat"], max_tokens=24)[0]
    pieces = [backend.speech.text([t]) for t in backend.prompts.encode([whole], chat=True)[0]]
    assert len(pieces) > 6
    for start in range(2, 9):
        stop = whole[start : start + 3]
        answer = answers(backend, [ask(backend, "the cat", max_tokens=24, stop=("zzzz", stop))])[0]
        assert answer.text == whole[: whole.index(stop)]
        assert answer.stop_reason == "stop"
        assert answer.completion_tokens <= 24


def test_a_stop_string_that_never_comes_leaves_the_answer_whole(
    backend: TransformersBackend,
) -> None:
    whole = texts(backend, ["the cat"], max_tokens=12)[0]
    answer = answers(backend, [ask(backend, "the cat", max_tokens=12, stop=("no such",))])[0]
    assert (answer.text, answer.stop_reason) == (whole, "length")


def test_each_of_several_end_tokens_ends_an_answer(plain: Path, tmp_path: Path) -> None:
    first = TransformersBackend(plain, threads=1, batch_size=4)
    whole = texts(first, ["the cat"], max_tokens=12)[0]
    tokens = _greedy_tokens(first, "the cat", 12)
    for end in (tokens[3], tokens[7]):
        copy = tmp_path / f"ends-{end}"
        shutil.copytree(plain, copy)
        config = json.loads((copy / "generation_config.json").read_text())
        config["eos_token_id"] = [2, end]
        (copy / "generation_config.json").write_text(json.dumps(config))
        backend = TransformersBackend(copy, threads=1, batch_size=4)
        answer = answers(backend, [ask(backend, "the cat", max_tokens=12)])[0]
        kept = tokens.index(end)
        assert answer.stop_reason == "stop"
        assert answer.completion_tokens == kept + 1
        assert answer.text == first.speech.text(tokens[:kept])
        assert whole.startswith(answer.text.rstrip("\ufffd"))


def _greedy_tokens(backend: TransformersBackend, prompt: str, count: int) -> list[int]:
    ids = backend.prompts.encode([prompt], chat=False)[0]
    for _ in range(count):
        logits = backend.loaded.model(input_ids=torch.tensor([ids])).logits
        ids.append(int(logits[0, -1].argmax()))
    return ids[-count:]


def test_an_answer_is_clipped_to_what_the_context_still_holds(backend: TransformersBackend) -> None:
    prompt = "x" * 250
    answer = answers(backend, [ask(backend, prompt, max_tokens=100)])[0]
    assert answer.prompt_tokens == 250
    assert (answer.completion_tokens, answer.stop_reason) == (6, "length")


@pytest.mark.parametrize("length", [256, 257, 5000])
def test_a_prompt_that_fills_the_context_is_a_fault_and_its_neighbors_are_answered(
    backend: TransformersBackend, length: int
) -> None:
    found = answers(backend, [ask(backend, "x" * length), ask(backend, "the cat", max_tokens=3)])
    assert isinstance(found[0], Fault)
    assert found[0].reason == "prompt_too_long"
    assert str(length) in found[0].detail
    assert isinstance(found[1], Generation)


def test_an_empty_prompt_is_answered(backend: TransformersBackend) -> None:
    answer = answers(backend, [ask(backend, "", max_tokens=3)])[0]
    assert (answer.prompt_tokens, answer.completion_tokens) == (1, 3)


def test_a_prompt_that_is_no_text_is_a_fault(backend: TransformersBackend) -> None:
    found = answers(backend, [ask(backend, "a\ud800b"), ask(backend, "a", max_tokens=2)])
    assert isinstance(found[0], Fault)
    assert isinstance(found[1], Generation)


def test_a_model_does_not_run_programs(backend: TransformersBackend) -> None:
    ticket = ask(backend, "a")
    program: Any = None
    from dataclasses import replace

    found = answers(backend, [replace(ticket, request=Execute(program))])
    assert isinstance(found[0], Fault)


def test_batches_hold_each_ticket_once_and_the_longest_prompts_first(
    backend: TransformersBackend,
) -> None:
    tickets = [ask(backend, "x" * n, max_tokens=8 + n % 2) for n in range(1, 30)]
    batches = backend.batches(tickets)
    assert sorted(i for b in batches for i in b) == list(range(29))
    assert max(map(len, batches)) == 8
    for batch in batches:
        lengths = [len(tickets[i].rendered) for i in batch]
        assert lengths == sorted(lengths, reverse=True)
        assert len({tickets[i].settings for i in batch}) == 1
    assert batches == backend.batches(tickets)


def test_a_batch_that_does_not_fit_the_memory_is_done_in_halves(plain: Path) -> None:
    backend = TransformersBackend(plain, threads=1, batch_size=4)
    whole = texts(backend, PROMPTS, max_tokens=8)

    def small_memory(model: Any, args: Any, named: dict[str, Any]) -> None:
        if named["input_ids"].shape[0] > 2:
            raise torch.OutOfMemoryError("no memory for more than two rows")

    hook = backend.loaded.model.register_forward_pre_hook(small_memory, with_kwargs=True)
    assert texts(backend, PROMPTS, max_tokens=8) == whole
    assert "out of memory with 4 requests" in backend.describe()["notes"][0]
    with pytest.raises(BackendError, match="batch_size=2"):
        texts(backend, PROMPTS * 2, max_tokens=8)
    hook.remove()


@pytest.mark.parametrize("kind", ["mistral", "gpt2", "gemma3", "qwen3", "mamba"])
def test_other_architectures_answer_alike_alone_and_together(kind: str, tmp_path: Path) -> None:
    backend = TransformersBackend(_other(kind, tmp_path / kind), threads=1, batch_size=4)
    prompts = [HEADER + p for p in PROMPTS]
    tickets = [ask(backend, p, max_tokens=12) for p in prompts]
    together = [""] * len(tickets)
    for batch in backend.batches(tickets):
        for i, answer in zip(batch, answers(backend, [tickets[i] for i in batch]), strict=True):
            together[i] = answer.text
    assert together == [texts(backend, [p], max_tokens=12)[0] for p in prompts]
    assert backend.batch_size == (1 if kind == "mamba" else 4)
    assert (backend.engine.prefix is not None) == (kind in ("gpt2", "qwen3"))


def _other(kind: str, folder: Path) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM

    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.4,
    }
    special: dict[str, dict[str, Any]] = {
        "mistral": {"sliding_window": 16},
        "gpt2": {"n_positions": 256},
        "gemma3": {"model_type": "gemma3_text", "sliding_window": 16},
        "qwen3": {},
        "mamba": {},
    }
    changes = {"model_type": kind, **shape, **special[kind]}
    save(folder)
    torch.manual_seed(1)
    config: Any = AutoConfig.for_model(
        changes.pop("model_type"), vocab_size=288, eos_token_id=1, bos_token_id=4, **changes
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder

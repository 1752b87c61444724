"""Real models, tiny and random: a two-layer Llama over a byte-level tokenizer, saved as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from waterbed.harness.backends.base import Ticket
from waterbed.harness.records import Choose, Generate, GenerationSettings, Message

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIALS = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<s>"]
CORPUS = ["the cat sat on the mat", "Question: what is two and two? Answer: four.", "\n\nthe end\n"]


def make_tokenizer(bos: bool = False) -> Any:
    """Byte-level BPE: every byte is a token, so characters of several bytes span tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=288,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS, trainer)
    if bos:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>", bos_token="<s>"
    )


def make_model(vocabulary: int, seed: int = 0, **changes: Any) -> Any:
    """A Llama whose logits differ clearly between tokens, so that rounding decides nothing."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.4,
        "tie_word_embeddings": False,
        "bos_token_id": 4,
        "eos_token_id": 1,
    }
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **{**settings, **changes})).eval()


def save(folder: Path, *, template: str | None = None, bos: bool = False, **changes: Any) -> Path:
    """Write a whole checkpoint."""
    tokenizer = make_tokenizer(bos)
    tokenizer.chat_template = template
    model = make_model(len(tokenizer), **changes)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def ask(backend: Any, prompt: str | tuple[Message, ...], seed: int = 0, **settings: Any) -> Ticket:
    """A ticket for one generation."""
    request = Generate(prompt)
    return Ticket(
        request, backend.render(request), GenerationSettings(**settings), seed, "t", "s", 0, 0
    )


def pose(backend: Any, prompt: str | tuple[Message, ...], *choices: str) -> Ticket:
    """A ticket for one choice."""
    request = Choose(prompt, choices)
    return Ticket(request, backend.render(request), GenerationSettings(), 0, "t", "s", 0, 0)


def answers(backend: Any, tickets: list[Ticket]) -> list[Any]:
    """The answers of one batch, in the order of the tickets."""
    found = dict(backend.answer(tickets))
    assert sorted(found) == list(range(len(tickets)))
    return [found[i] for i in range(len(tickets))]

"""A byte-level BPE tokenizer for chats, trained on the training text itself.

Digits stay single and punctuation carries the space before a digit, so that `13 + 5` is written
`1 3 _+_ 5`; names in JSON are the same tokens as after a line break. The chat template is saved
inside the tokenizer and takes system, user and assistant turns in any order; functions on offer become
a first system turn, as the pocket world writes it, and calls are JSON alone. Not here: tokenizers
for models that already have one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..harness.dataset_rows import Row, texts_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, END = "<|pad|>", "<|end|>"
SPECIALS = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>")

#: Words with the space before them; single digits; punctuation with the spaces inside and before a
#: digit; white space, of which the last blank belongs to the next word.
PATTERN = r" ?\p{L}+|\p{N}|(?: ?[^\s\p{L}\p{N}]+)+(?: (?=\p{N}))?|\s+(?!\S)|\s+"

TEMPLATE = """\
{#- calls: json -#}
{%- if tools -%}
    {{- '<|system|>Tools:' -}}
    {%- for tool in tools -%}
        {{- '\\n' + tool['function']['name'] -}}
        {{- '(' + tool['function']['parameters']['properties'] | join(',') + ')' -}}
    {%- endfor -%}
    {{- '<|end|>' -}}
{%- endif -%}
{%- for message in messages -%}
    {%- if message['role'] not in ['system', 'user', 'assistant'] -%}
        {{- raise_exception('This model knows system, user and assistant turns only.') -}}
    {%- endif -%}
    {{- '<|' + message['role'] + '|>' -}}
    {%- if message['role'] == 'assistant' -%}
        {%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}
    {%- else -%}
        {{- message['content'] + '<|end|>' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def train_tokenizer(
    rows: Sequence[Row], vocabulary: int, positions: int
) -> PreTrainedTokenizerFast:
    """A tokenizer with exactly `vocabulary` entries (at least 261), trained on the rows' turns.

    Args:
        rows: training rows of any shape.
        vocabulary: entries, the 256 bytes and the special tokens among them.
        positions: the longest input of the model, recorded as the tokenizer's limit.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast as Untyped

    wrap: Any = Untyped
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(_texts(rows), trainer)
    tokenizer: PreTrainedTokenizerFast = wrap(
        tokenizer_object=raw,
        eos_token=END,
        pad_token=PAD,
        model_max_length=positions,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _texts(rows: Sequence[Row]) -> Iterator[Any]:
    return (text for row in rows for text in texts_of(row))

"""Forward passes over a Hugging Face causal model: padding, caches, shared prefixes.

`prime` reads prompts (left-padded; what they all begin with is computed once), `step` reads one more
token a row, `select` keeps or repeats rows. Shapes: B rows, T new tokens, L tokens in the cache, V
vocabulary. Imports torch: import this module only where a model is about to run. Not here: which token
is chosen (decoding.py), what is scored (choices.py).
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

#: Shared prefixes are cut to a multiple of this, so that batches whose prompts begin alike by chance
#: for a few tokens more still share one; what is computed for a prefix never depends on history.
GRAIN = 32
#: A prefix is worth its own forward pass when it saves at least this many tokens in a batch.
WORTH_TOKENS = 256
WINDOW = re.compile(r"(window|window_size|chunk_size)$")
#: Spare tokens a cache buffer is given when it grows.
SPARE = 64


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values in buffers with room to spare, so that a new token copies only itself.

    The parent concatenates, which copies the whole cache at each token.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.buffers: tuple[Tensor, Tensor] | None = None
        self.spare = SPARE

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002 - part of the parent's signature
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Append (B, heads, T, width) keys and values; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self.buffers is None or self.buffers[0].shape[-2] < end:
            room = end + max(SPARE, end // 4)
            self.buffers = (
                _roomier(self.keys, key_states, room),
                _roomier(self.values, value_states, room),
            )
        keys, values = self.buffers
        keys[:, :, start:end] = key_states
        values[:, :, start:end] = value_states
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep or repeat rows, in buffers of their own with `spare` tokens of room."""
        if self.keys is None or self.values is None or not self.keys.numel():
            return
        length = self.keys.shape[-2]
        keys, values = (_picked(old, indices, self.spare) for old in (self.keys, self.values))
        self.buffers = keys, values
        self.keys, self.values = keys[:, :, :length], values[:, :, :length]


def _roomier(old: Tensor | None, new: Tensor, room: int) -> Tensor:
    rows, heads, _, width = new.shape
    buffer = new.new_empty((rows, heads, room, width))
    if old is not None and old.numel():
        buffer[:, :, : old.shape[-2]] = old
    return buffer


def _picked(old: Tensor, rows: Tensor, spare: int) -> Tensor:
    _, heads, length, width = old.shape
    buffer = old.new_empty((len(rows), heads, length + spare, width))
    torch.index_select(old, 0, rows, out=buffer[:, :, :length])
    return buffer


@dataclass(slots=True)
class Primed:
    """Rows whose prompts have been read."""

    cache: Any
    mask: Tensor
    """(B, L) bool, False where padding lies."""
    lengths: Tensor
    """(B,) tokens read of each row: the position of the next one."""
    logits: Tensor
    """(B, V) float32, for the token after the last one read."""


class Engine:
    """A model and what is known about it: whether rows can be padded, and prefixes shared."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self.model = model
        self.device = device
        accepted = inspect.signature(model.forward).parameters
        self.limits_logits = "logits_to_keep" in accepted
        self.takes_positions = "position_ids" in accepted
        self.cache_name = "cache_params" if "cache_params" in accepted else "past_key_values"
        self.prefix: tuple[tuple[int, ...], Any] | None = None
        layers = self.new_cache().layers
        self.pads = all(isinstance(layer, DynamicLayer) for layer in layers)
        """Rows of unequal length can be read together, and kept or repeated."""
        self.shares = not _has_windows(model.config) and all(
            type(layer) is GrowingLayer for layer in layers
        )
        """Padding may lie behind a shared prefix: no layer counts distance by slots."""

    def new_cache(self) -> Any:
        """An empty cache of the kind this model wants."""
        cache = DynamicCache(config=self.model.config)
        cache.layers = [GrowingLayer() if type(x) is DynamicLayer else x for x in cache.layers]
        if cache.layer_class_to_replicate is DynamicLayer:
            cache.layer_class_to_replicate = GrowingLayer
        return cache

    @torch.inference_mode()
    def forward(
        self, ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Any, keep: int = 1
    ) -> Tensor:
        """Logits (B, keep, V) in float32 of the last `keep` of the T tokens read.

        Args:
            ids, positions: (B, T).
            mask: (B, L + T), None where nothing is padded.
            cache: grown in place, or None.
        """
        named: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "return_dict": True}
        if cache is not None:
            named[self.cache_name] = cache
        if self.limits_logits:
            named["logits_to_keep"] = keep
        if self.takes_positions:
            named["position_ids"] = positions
        logits: Tensor = self.model(**named, use_cache=cache is not None).logits
        return logits[:, -keep:].float()

    def prime(self, prompts: Sequence[Sequence[int]], shared: int | None = None) -> Primed:
        """Read prompts of unequal length.

        Args:
            prompts: token ids, each at least one.
            shared: how many first tokens to read once for all; None decides.
        """
        if shared is None:
            shared = shared_length(prompts) if self.shares else 0
        rows = len(prompts)
        width = max(map(len, prompts)) - shared
        cache = self.new_cache()
        if shared:
            cache = self.selected(
                self._prefix_cache(prompts[0][:shared]), [0] * rows, width + SPARE
            )
        ids = torch.zeros((rows, width), dtype=torch.long)
        mask = torch.ones((rows, shared + width), dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            pad = width - (len(prompt) - shared)
            ids[row, pad:] = torch.tensor(prompt[shared:])
            mask[row, shared : shared + pad] = False
        ids, mask = ids.to(self.device), mask.to(self.device)
        positions = (mask.long().cumsum(-1) - 1).clamp(min=0)[:, shared:]
        logits = self.forward(ids, mask, positions, cache)[:, -1]
        return Primed(cache, mask, mask.sum(-1), logits)

    def _prefix_cache(self, tokens: Sequence[int]) -> Any:
        wanted = tuple(tokens)
        if self.prefix is None or self.prefix[0] != wanted:
            self.prefix = None  # free the old one first
            cache = self.new_cache()
            ids = torch.tensor([wanted], device=self.device)
            positions = torch.arange(len(wanted), device=self.device)[None]
            self.forward(ids, torch.ones_like(ids, dtype=torch.bool), positions, cache)
            self.prefix = wanted, cache
        return self.prefix[1]

    @torch.inference_mode()
    def selected(self, cache: Any, rows: Sequence[int], room: int = SPARE) -> Any:
        """A new cache of these rows, in this order, for `room` more tokens; rows may repeat."""
        index = torch.tensor(list(rows), device=self.device)
        chosen = copy.copy(cache)
        chosen.layers = [copy.copy(layer) for layer in cache.layers]
        for layer in chosen.layers:
            layer.spare = room
            layer.batch_select_indices(index)
        return chosen

    def select(self, state: Primed, rows: Sequence[int]) -> Primed:
        """The state of these rows only."""
        index = torch.tensor(list(rows), device=self.device)
        return Primed(
            self.selected(state.cache, rows),
            state.mask[index],
            state.lengths[index],
            state.logits[index],
        )

    def step(self, state: Primed, tokens: Sequence[int]) -> None:
        """Read one more token a row; changes `state`."""
        ids = torch.tensor(tokens, device=self.device)[:, None]
        state.mask = torch.cat([state.mask, torch.ones_like(ids, dtype=torch.bool)], dim=1)
        state.logits = self.forward(ids, state.mask, state.lengths[:, None], state.cache)[:, -1]
        state.lengths = state.lengths + 1


def _has_windows(config: Any) -> bool:
    """Whether a layer may see only the last so many slots, by the names configs give such a limit."""
    settings = config.get_text_config(decoder=True).to_dict()
    return any(WINDOW.search(name) and type(value) is int for name, value in settings.items())


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many first tokens of these prompts are worth reading once for all."""
    listed = [list(prompt) for prompt in prompts]
    first, last = min(listed), max(listed)
    limit = min(map(len, prompts)) - 1  # each row still reads a token of its own
    same = next((i for i in range(limit) if first[i] != last[i]), limit)
    length = same // GRAIN * GRAIN
    return length if length * (len(prompts) - 1) >= WORTH_TOKENS else 0

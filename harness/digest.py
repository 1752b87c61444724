"""The identity of a checkpoint: one sha256 that does not depend on how the weights are sharded.

Over each tensor's (name, dtype, shape, bytes) in name order, the configs without version and path
keys, every tokenizer file, the chat template, and quantization and adapter configs. Hashes of single
tensors are cached by path, size, mtime and inode, so that a second look costs milliseconds. Not here:
the identity of an answer, which also holds backend, dtype and settings (journal.py).
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from .errors import CheckpointError
from .folders import cache_folder
from .records import canonical_json, content_hash
from .safetensors_files import Header, read_header

#: Keys of config files that change without changing what the model says.
IGNORED_KEYS = frozenset({"transformers_version", "_name_or_path", "name_or_path", "_commit_hash"})
CONFIGS = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "adapter_config.json",
    "quantize_config.json",
    "quantization_config.json",
    "hf_quant_config.json",
)
TEXTS = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
)


def digest_folder(folder: Path) -> str:
    """sha256 (64 hex digits) of what the model in `folder` says and how.

    Raises:
        CheckpointError: a config is not JSON, or a weight file is damaged.
    """
    tensors: dict[str, str] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors.update(tensor_hashes(file))
    parts: dict[str, Any] = {"tensors": tensors}
    for name in CONFIGS:
        if (folder / name).is_file():
            parts[name] = _without_ignored(_read_json(folder / name))
    for name in TEXTS:
        if (folder / name).is_file():
            parts[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    for file in sorted(folder.glob("additional_chat_templates/*.jinja")):
        parts[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return content_hash(parts, digits=64)


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"'{file}' is not valid JSON ({error}); export again.") from error


def _without_ignored(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_ignored(v) for k, v in value.items() if k not in IGNORED_KEYS}
    if isinstance(value, list):
        return [_without_ignored(v) for v in value]
    return value


def tensor_hashes(file: Path) -> dict[str, str]:
    """Hash of each tensor of one weight file, from the cache where the file has not changed."""
    stat = file.stat()
    key = content_hash(
        [str(file.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ino], digits=32
    )
    cached = cache_folder("digests") / f"{key}.json"
    try:
        found = json.loads(cached.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    except (OSError, ValueError):
        pass  # not cached yet, or torn: hash again
    hashes = _hash_tensors(file, read_header(file))
    aside = cached.with_suffix(f".{os.getpid()}")
    try:
        aside.write_text(canonical_json(hashes), encoding="utf-8")
        os.replace(aside, cached)
    except OSError:
        aside.unlink(missing_ok=True)  # a full or read-only cache only costs time
    return hashes


def _hash_tensors(file: Path, header: Header) -> dict[str, str]:
    hashes = {}
    with file.open("rb") as data:
        for name, entry in header.tensors.items():
            digest = hashlib.sha256(f"{entry.dtype}{list(entry.shape)}".encode())
            data.seek(entry.start)
            left = entry.end - entry.start
            while left > 0:
                chunk = data.read(min(left, 1 << 22))
                if not chunk:
                    raise CheckpointError(f"'{file}' ends inside tensor '{name}'; copy it again.")
                digest.update(chunk)
                left -= len(chunk)
            hashes[name] = digest.hexdigest()
    return hashes

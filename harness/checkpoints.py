"""Checkpoints: a Hugging Face folder plus what identifies it and where it came from.

`open_checkpoint` checks a folder before anything loads it; `write_checkpoint` writes one aside and
renames it. Safetensors only: pickled weights are refused. Not here: hashing (digest.py), loading
into a model (backends/transformers.py).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .checkpoint_check import check_loads
from .contamination_trace import SIDECAR, leave_trace
from .dataset_rows import Row
from .digest import digest_folder
from .errors import CheckpointError, UsageError
from .safetensors_files import Header, read_header

LINEAGE = "waterbed.json"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
#: Files of a hub repository that evaluation reads.
NEEDED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", SIDECAR)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder of weights with its identity and its parent."""

    path: Path
    digest: str
    parent: str | None = None
    """Digest of the checkpoint this one was made from."""
    stage: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The stage's settings after defaults."""

    @property
    def short(self) -> str:
        """Enough of the digest to read aloud."""
        return self.digest[:12]


def open_checkpoint(given: str | Path) -> Checkpoint:
    """Check a folder, or what the hub has under `owner/name[@revision]`, and identify it.

    Raises:
        UsageError: there is no such folder, and nothing of that name on the hub.
        CheckpointError: no config, no weights, pickled weights, a missing, truncated or foreign shard.
    """
    folder = Path(given)
    if not folder.is_dir():
        if not HUB_ID.fullmatch(str(given)):
            raise UsageError(
                f"There is no checkpoint folder '{given}'; pass a folder with config.json and "
                "safetensors, or a hub id such as owner/name@revision."
            )
        folder = _from_hub(str(given))
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"'{folder}' has no config.json; save the model with save_pretrained first."
        )
    shards(folder)
    lineage = _lineage(folder)
    return Checkpoint(
        path=folder,
        digest=digest_folder(folder),
        parent=lineage.get("parent"),
        stage=lineage.get("stage"),
        settings=lineage.get("settings", {}),
    )


def _from_hub(given: str) -> Path:
    """Download what a model needs to run, and nothing that could run by itself."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name, _, revision = given.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=list(NEEDED)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        why = str(error).strip().splitlines()[0]
        raise UsageError(
            f"There is no checkpoint folder '{given}', and the hub does not give it either ({why}); check "
            "the name, the network and HF_TOKEN."
        ) from error


def _lineage(folder: Path) -> dict[str, Any]:
    file = folder / LINEAGE
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"'{file}' is not valid JSON ({error}); remove it.") from error
    return found if isinstance(found, dict) else {}


def shards(folder: Path) -> dict[Path, Header]:
    """The weight files of a folder with their headers, checked for completeness.

    Raises:
        CheckpointError: see `open_checkpoint`.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = [p.name for pattern in PICKLES for p in folder.glob(pattern)]
        if pickled:
            raise CheckpointError(
                f"'{folder}' holds pickled weights ({pickled[0]}), which can run code when loaded; "
                "convert them with save_pretrained(safe_serialization=True)."
            )
        raise CheckpointError(
            f"'{folder}' has a config but no *.safetensors weights; merge or export the weights first."
        )
    headers = {file: read_header(file) for file in files}
    _check_index(folder, headers)
    return headers


def _check_index(folder: Path, headers: Mapping[Path, Header]) -> None:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    try:
        placed: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"'{index}' is not a weight index ({error}); export again."
        ) from error
    for tensor, name in placed.items():
        header = headers.get(folder / name)
        if header is None or tensor not in header.tensors:
            raise CheckpointError(
                f"'{folder}' lacks tensor '{tensor}' that its index places in {name}; copy the shard again."
            )


def write_checkpoint(
    out: Path,
    save: Callable[[Path], None],
    *,
    parent: Checkpoint | None,
    stage: str,
    settings: Mapping[str, Any],
    rows: Iterable[Row] | None = None,
    made: Mapping[str, Any] | None = None,
    measure: Callable[[Path], Mapping[str, Any]] | None = None,
    beside: Sequence[Checkpoint] = (),
) -> Checkpoint:
    """Let `save` fill a folder beside `out`, verify it, and rename it into place.

    Args:
        rows: what the stage trained on, for the contamination check; empty where it learns from no
            text. None counts as unknown.
        made: what else the lineage says: rows by their reference, seed, versions, processes.
        measure: called on the verified folder; what it returns goes into the lineage, what it raises
            leaves no checkpoint.
        beside: other checkpoints that the weights follow from: a teacher, the other end of a mean.

    Raises:
        CheckpointError: what was saved is not a complete checkpoint with finite weights.
    """
    aside = out.with_name(out.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    save(aside)
    leave_trace(
        aside,
        stage,
        rows,
        (parent.digest, parent.path) if parent else None,
        [(other.digest, other.path) for other in beside],
    )
    record: dict[str, Any] = {
        "parent": parent.digest if parent else None,
        "beside": [other.digest for other in beside],
        "stage": stage,
        "settings": dict(settings),
        **(made or {}),
    }
    open_checkpoint(aside)
    check_loads(aside)
    record |= measure(aside) if measure else {}
    (aside / LINEAGE).write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    os.replace(aside, out)
    return open_checkpoint(out)

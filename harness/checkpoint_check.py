"""Whether a checkpoint that was just written can be used: loads as a whole, and every weight is finite.

Whichever engine wrote it. The model is laid out without memory for its weights, and weights are looked
at one tensor at a time, so that a check needs no more memory than the largest tensor. Weights that an
engine packed (a quantization config) are not compared with the model's shapes, since only that engine
can unpack them. Not here: single files (safetensors_files.py), identity (digest.py).
"""

from __future__ import annotations

import json
from pathlib import Path

from .errors import CheckpointError


def check_loads(folder: Path) -> None:
    """Refuse a folder that transformers could not load, or whose weights hold NaN or infinity.

    Raises:
        CheckpointError: names the first thing that is wrong.
    """
    check_finite_files(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    from .backends.loading import check_whole

    check_whole(folder, packed="quantization_config" in config)


def check_finite_files(folder: Path) -> None:
    """Refuse NaN and infinity in a folder's weights.

    Raises:
        CheckpointError: names the tensor and its file.
    """
    import torch
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - no mapping
                tensor = weights.get_tensor(name)
                if not tensor.is_floating_point():
                    continue
                wide = tensor if tensor.element_size() > 1 else tensor.float()
                if not bool(torch.isfinite(wide).all()):
                    raise CheckpointError(
                        f"'{file.name}': weight '{name}' holds NaN or infinity; the training diverged, "
                        "lower its learning rate."
                    )

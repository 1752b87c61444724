"""Writes model and tokenizer as one Hugging Face folder, without a progress bar on stderr."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def saver(model: Any, tokenizer: Any) -> Callable[[Path], None]:
    """What `write_checkpoint` calls to fill a folder: safetensors, configs, tokenizer, template."""

    def save(folder: Path) -> None:
        from transformers.utils import logging as untyped

        logging: Any = untyped
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        finally:
            if bars:
                logging.enable_progress_bar()

    return save

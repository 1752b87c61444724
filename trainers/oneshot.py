"""Runs modifiers of llm-compressor over a loaded model, quietly, and turns what fails into one sentence.

llm-compressor keeps a session of its own in the process; it is emptied afterwards. Its log lines and
progress bars go nowhere: what matters is raised, and the saved weights are counted. Not here: which
modifiers (quantize.py), and which rows (calibration.py).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..harness.errors import UsageError
from ..harness.stage import StageContext
from .calibration import loader
from .chats import Example
from .dense import Dense
from .loop import reproducible

#: Packages that log through loguru.
_LOUD = ("llmcompressor", "compressed_tensors")


def require_llm_compressor() -> None:
    """Stop where the libraries for compression are not installed.

    Raises:
        UsageError: names the extra to install.
    """
    missing = [name for name in ("llmcompressor", "compressed_tensors") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"This stage compresses with {', '.join(missing)}, which is not installed; run "
            "`pip install waterbed[compress]`."
        )


def compress(
    dense: Dense,
    modifiers: Sequence[Any],
    examples: Sequence[Example],
    context: StageContext,
    stage: str,
) -> Callable[[Path], None]:
    """Change `dense.model` in place and return what saves it, as `write_checkpoint` calls it.

    Args:
        examples: calibration rows; none for methods that look at the weights alone.

    Raises:
        UsageError: llm-compressor refuses this model or these settings.
    """
    with quiet(), reproducible(context):
        import torch
        from llmcompressor.core.session_functions import active_session
        from llmcompressor.entrypoints import oneshot

        data = {"dataset": loader(examples), "num_calibration_samples": len(examples)}
        try:
            with torch.no_grad():
                oneshot(
                    model=dense.model,
                    tokenizer=dense.tokenizer,
                    recipe=list(modifiers),
                    **(data if examples else {}),
                )
        except (RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:
            why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise UsageError(
                f"Stage '{stage}': llm-compressor cannot compress this model so ({why}); choose "
                "another method or other settings."
            ) from error
        finally:
            active_session().reset()

    def save(folder: Path) -> None:
        with quiet():
            dense.saver()(folder)

    return save


@contextmanager
def quiet() -> Iterator[None]:
    """No log lines and no progress bars of llm-compressor; other libraries' warnings still count."""
    from loguru import logger

    # While it is imported it turns its log on, and writes to it.
    with redirect_stdout(io.StringIO()):
        import llmcompressor  # noqa: F401

    for name in _LOUD:
        logger.disable(name)
    try:
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            # On a CPU nothing is offloaded to a smaller memory; the weights lie where they were.
            warnings.filterwarnings(
                "ignore", message="Attempting to save a model with offloaded modules"
            )
            yield
    finally:
        for name in _LOUD:
            logger.enable(name)

"""Loads a checkpoint folder into a Hugging Face model and tokenizer, and refuses what is not whole.

Two kinds: language models, and reward models (a sequence classifier with one label). Transformers would
load either as the other, with a head that was never trained; here the folder must say what it is.

Safetensors only, nothing from the network, no code from the folder unless asked. Transformers fills
missing weights with random numbers and only warns; here they are an error, as are weights that are not
finite and a tokenizer that knows more tokens than the model.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, CheckpointError, UsageError
from .imports import import_transformers, uncollected

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to run."""

    model: Any
    tokenizer: Any
    device: torch.device
    dtype: str
    ends: frozenset[int]
    """Tokens that end a text."""
    context: int | None
    """Most tokens of prompt and answer together; None where the config names no limit."""
    unexpected: int
    """Tensors in the files that the model has no place for."""


def load(folder: Path, device: str, dtype: str, trust_remote_code: bool) -> Loaded:
    """Load a language model and check it.

    Raises:
        UsageError: no such device or dtype.
        CheckpointError: the folder cannot be evaluated as it is.
        BackendError: the weights do not fit the device.
    """
    if _is_reward_model(folder):
        raise CheckpointError(
            f"'{folder}' is a reward model, not a language model, so it cannot answer; evaluate the "
            "checkpoint that was trained with it, or score answers with it."
        )
    return _load(folder, device, dtype, trust_remote_code, "AutoModelForCausalLM")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A checkpoint's tokenizer and limits, for engines that load the weights themselves."""

    tokenizer: Any
    ends: frozenset[int]
    """Tokens that end a text."""
    context: int | None
    """Most tokens of prompt and answer together; None where the config names no limit."""


def load_vocabulary(folder: Path, trust_remote_code: bool) -> Vocabulary:
    """Load all of a language model but its weights.

    Raises:
        CheckpointError: there is no tokenizer, or no config, that loads.
    """
    options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    with uncollected(), _quiet():
        tokenizer = _tokenizer(folder, options)
        library = import_transformers()
        try:
            config = library.AutoConfig.from_pretrained(folder, **options)
            declared = (folder / "generation_config.json").is_file()
            decoding = library.GenerationConfig.from_pretrained(folder) if declared else None
        except Exception as error:  # files from outside: each parser fails in its own way
            raise CheckpointError(
                f"'{folder}' has no config that loads ({_first_line(error)}); save it again with "
                "save_pretrained."
            ) from error
    return Vocabulary(tokenizer, _ends(decoding, config, tokenizer), context_length(config))


def load_reward_model(folder: Path, device: str, dtype: str, trust_remote_code: bool) -> Loaded:
    """Load a sequence classifier with one label and check it.

    Raises:
        UsageError, CheckpointError, BackendError: see `load`; also for a language model.
    """
    if not _is_reward_model(folder):
        raise CheckpointError(
            f"'{folder}' is a language model, not a reward model, and has no trained reward head; "
            "train one from it with the stage 'reward-model'."
        )
    loaded = _load(folder, device, dtype, trust_remote_code, "AutoModelForSequenceClassification")
    if loaded.model.config.num_labels != 1:
        raise CheckpointError(
            f"'{folder}' is a classifier with {loaded.model.config.num_labels} labels; a reward model "
            "has one."
        )
    return loaded


def check_whole(folder: Path, packed: bool) -> None:
    """Refuse a folder whose tokenizer or model would not load.

    Takes no memory for the weights where accelerate is installed, which training needs; a compression
    on a plain installation loads them.

    Args:
        packed: the weights are quantized, and only their tokenizer and files can be checked.

    Raises:
        CheckpointError: names what is missing or of another shape.
    """
    options = {"local_files_only": True, "trust_remote_code": False}
    kind = "ForSequenceClassification" if _is_reward_model(folder) else "ForCausalLM"
    with uncollected(), _quiet():
        tokenizer = _tokenizer(folder, options)
        if packed:
            return
        nowhere = {"device_map": "meta"} if find_spec("accelerate") else {}
        model, report = _model(folder, f"AutoModel{kind}", {**options, **nowhere})
    _refuse_missing(report, folder)
    _check_vocabulary(model, tokenizer, folder)


def _refuse_missing(report: dict[str, Any], folder: Path) -> None:
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"'{folder}' lacks {len(missing)} weights that its config asks for (first: {missing[0]}); "
            "save the whole model again."
        )


def _is_reward_model(folder: Path) -> bool:
    """Whether the config names a sequence classifier; a config that does not parse says no."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = config.get("architectures") or ()
    except (OSError, ValueError, RecursionError, AttributeError):
        return False  # the loader says what is wrong with it
    return any(str(name).endswith("ForSequenceClassification") for name in names)


def _load(
    folder: Path, device: str, dtype: str, trust_remote_code: bool, auto_class: str
) -> Loaded:
    options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    with uncollected():
        target = find_device(device)
        number_type = _dtype(dtype, target)
        with _quiet():
            tokenizer = _tokenizer(folder, options)
            model, report = _model(folder, auto_class, {**options, "dtype": number_type})
    _refuse_missing(report, folder)
    check_finite(model, folder)
    _check_vocabulary(model, tokenizer, folder)
    return Loaded(
        model=_placed(model.eval().requires_grad_(False), target, folder),
        tokenizer=tokenizer,
        device=target,
        dtype=str(model.dtype).removeprefix("torch."),
        ends=_ends(getattr(model, "generation_config", None), model.config, tokenizer),
        context=context_length(model.config),
        unexpected=len(report["unexpected_keys"]),
    )


def find_device(name: str) -> torch.device:
    """The torch device that a name stands for; "auto" is the GPU where there is one.

    Raises:
        UsageError: no such device here.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"The device '{name}' cannot be used here ({_first_line(error)}); pass device=auto."
        ) from error
    return device


def _dtype(name: str, device: torch.device) -> Any:
    if name not in DTYPES:
        raise UsageError(f"There is no dtype '{name}'; use one of {', '.join(DTYPES)}.")
    import torch

    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    return getattr(torch, name)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and load reports on stderr: what matters is raised."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with redirect_stderr(
            io.StringIO()
        ):  # nothing else turns off the bars of compressed-tensors
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _tokenizer(folder: Path, options: dict[str, Any]) -> Any:
    try:
        return import_transformers().AutoTokenizer.from_pretrained(folder, **options)
    except Exception as error:  # files from outside: each parser fails in its own way
        raise CheckpointError(
            f"'{folder}' has no tokenizer that loads ({_first_line(error)}); save the tokenizer "
            "into the same folder."
        ) from error


def _model(folder: Path, auto_class: str, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    kind = "causal language model" if "Causal" in auto_class else "sequence classifier"
    try:
        model, report = getattr(import_transformers(), auto_class).from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **options
        )
        if hasattr(model, "ct_decompress_hook"):  # else in the first batch, and with bars
            model.hf_quantizer.compressor.decompress_model(model)
    except Exception as error:  # likewise
        raise CheckpointError(
            f"'{folder}' does not load as a {kind} ({_first_line(error)}); "
            "save it again with save_pretrained."
        ) from error
    return model, report


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (
        f"{type(error).__name__}: {lines[0][:300].rstrip('.')}" if lines else type(error).__name__
    )


def check_finite(model: Any, folder: Path) -> None:
    """Refuse weights that hold NaN or infinity.

    Raises:
        CheckpointError: names the first such tensor.
    """
    import torch

    for name, tensor in model.named_parameters():
        if not tensor.is_floating_point():
            continue
        wide = tensor if tensor.element_size() > 1 else tensor.float()  # float8 has no isfinite
        if not bool(torch.isfinite(wide).all()):
            raise CheckpointError(
                f"'{folder}': weight '{name}' holds NaN or infinity; the training that wrote it "
                "diverged, use an earlier checkpoint."
            )


def _check_vocabulary(model: Any, tokenizer: Any, folder: Path) -> None:
    rows, known = model.get_input_embeddings().weight.shape[0], len(tokenizer)
    if known > rows:
        raise CheckpointError(
            f"'{folder}': the tokenizer knows {known} tokens, the model's embedding has {rows}; "
            "resize the embedding, or save the tokenizer the model was trained with."
        )


def _placed(model: Any, device: torch.device, folder: Path) -> Any:
    import torch

    try:
        return model.to(device)
    except torch.OutOfMemoryError as error:
        raise BackendError(
            f"The weights of '{folder}' do not fit into the memory of {device}; pass dtype=bfloat16 or "
            "a larger device."
        ) from error


def _ends(decoding: Any, config: Any, tokenizer: Any) -> frozenset[int]:
    """Every token the checkpoint declares to end a text, in its generation config or tokenizer."""
    ends: set[int] = set()
    for declared in (
        getattr(decoding, "eos_token_id", None),
        getattr(config, "eos_token_id", None),
        tokenizer.eos_token_id,
    ):
        ends.update([declared] if isinstance(declared, int) else declared or ())
    return frozenset(ends)


def context_length(config: Any) -> int | None:
    """Most positions the model was made for, where its config says."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None

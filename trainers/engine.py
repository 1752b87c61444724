"""Any external trainer as a stage: a command, an environment, and a contract on what it leaves behind.

OpenRLHF, verl, NeMo RL, Axolotl, torchtune, Unsloth or a script of the user's own; each runs in its own
environment and is started as a list of arguments with placeholders:

    {checkpoint} {out} {data} {seed} {device} {threads} {world_size}

`engine_*.yaml` beside this file are worked examples; none of those engines was run for this project, whose
machines have no GPU. What the program left is searched for (engine_layouts.py), an adapter is merged into
the input, a missing tokenizer is copied from it, and the result is verified like any checkpoint. Not here:
running a process (engine_process.py).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..harness.backends.loading import load
from ..harness.checkpoints import Checkpoint, shards
from ..harness.datasets import fingerprint, load_any
from ..harness.digest import CONFIGS, TEXTS, digest_folder
from ..harness.errors import CheckpointError, UsageError
from ..harness.stage import StageContext, StagePlan, stage
from .distributed import assert_alone
from .engine_layouts import Place, elsewhere, find, weights
from .engine_process import Limits, run
from .lora import with_adapter
from .saving import saver
from .tensor_files import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..harness.datasets import Row

KNOWN = ("checkpoint", "out", "data", "seed", "device", "threads", "world_size")
#: `{name}`, but not `${name}` of Hydra and shells.
PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z_]+)\}")
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|(^|_)(API_?)?KEY$", re.IGNORECASE)
#: What is checked of what a program leaves, as a dry run tells it.
CONTRACT = (
    "checked: one last checkpoint, by the greatest step or a folder without one, never an earlier one instead",
    "checked: config.json, every shard that the names count, safetensors only, written after the start",
    "checked: it loads as a whole, its weights are finite, and the input is as it was",
    "done: an adapter is merged into the input; a tokenizer that is missing is copied from it",
)
#: Seconds that asking for a version may take.
_ASKING = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Settings of `engine`."""

    command: Sequence[str]
    """The program and its arguments, with placeholders; no shell reads them."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables set for it, with placeholders; recorded, so no secrets: those are inherited."""
    version: Sequence[str] = ()
    """A command whose first line of output is recorded as the engine's version."""
    data: Mapping[str, int | None] = field(default_factory=dict)
    """Datasets written to {data}, with the number of rows of each; empty: the program has its own."""
    data_format: Literal["jsonl", "parquet"] = "jsonl"
    output: str | None = None
    """Folder that the program writes to if it cannot be told; None: {out}."""
    result: str | None = None
    """The checkpoint below the output folder; None: it is searched for."""
    working_folder: str | None = None
    """Where the program runs; None: here."""
    limit_s: float | None = None
    """Longest time; None is no limit."""
    silent_s: float | None = None
    """Longest time without a word in the log; None is no limit."""
    grace_s: float = 60.0
    """Time to end by itself after a signal."""

    def __post_init__(self) -> None:
        if not self.command:
            raise ValueError("command is empty; give a program and its arguments")
        for name in ("limit_s", "silent_s", "grace_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        texts = [*self.command, *self.environment.values()]
        used = {name for text in texts for name in PLACEHOLDER.findall(text)}
        if unknown := sorted(used - set(KNOWN)):
            raise ValueError(f"there is no placeholder {{{unknown[0]}}}; known: {', '.join(KNOWN)}")
        if self.output is None and "out" not in used:
            raise ValueError("nothing tells the program where to write; use {out}, or set output")
        if ("data" in used) != bool(self.data):
            raise ValueError("{data} and the setting data go together; one of them is missing")
        if secret := next((name for name in self.environment if SECRET.search(name)), None):
            raise ValueError(
                f"environment would record the secret {secret}; export it before the start, it is inherited"
            )


def plan_engine(
    checkpoint: Checkpoint | None, config: EngineConfig, context: StageContext
) -> StagePlan:
    """The dry run of `engine`: what would be started, and what it would have to leave; starts nothing but
    the command that tells the version.

    Raises:
        UsageError: there is no such program, or the command names something that the stage is not given.
    """
    assert_alone(context, "engine")
    rows = {name: load_any(name, n=n, seed=context.seed) for name, n in config.data.items()}
    command, environment = _started(_values(checkpoint, config, context), config)
    folder = Path(config.working_folder or ".")
    _check_program(command[0], folder, environment.get("PATH"))
    return StagePlan(
        stage="engine",
        rows=sum(map(len, rows.values())),
        tokens=None,
        steps=None,
        parameters=parameters(checkpoint) if checkpoint else None,
        trainable=None,
        memory_bytes=None,
        seconds=None,
        notes=(
            f"command: {shlex.join(command)}",
            *(f"environment: {name}={value}" for name, value in environment.items()),
            f"version: {_version(config.version) or 'not told'}",
            f"runs in: {folder.resolve()}",
            f"log: {log_path(context)}",
            f"looked for in: {_output(config, context) / (config.result or '')}",
            *CONTRACT,
        ),
    )


@stage("engine", config=EngineConfig, plan=plan_engine)
def engine(
    checkpoint: Checkpoint | None, config: EngineConfig, context: StageContext
) -> Checkpoint:
    """Run an external trainer and take over the checkpoint it leaves.

    What it wrote stays in the work folder until the checkpoint is verified: after a kill or a failure
    the same program finds its own files there again and can go on from them.

    Raises:
        UsageError: the command cannot run as given, or is running already.
        InstrumentError: the program failed, hung or took too long.
        CheckpointError: what it left is not one whole checkpoint of its own.
        Interrupted: the stage was asked to end; the program was told.
    """
    assert_alone(context, "engine")
    rows = {name: load_any(name, n=n, seed=context.seed) for name, n in config.data.items()}
    marks = [fingerprint(found) for found in rows.values()]
    parent = checkpoint.digest if checkpoint else None
    work = context.begin(["engine", repr(config), parent, marks])
    with _alone(work) as held:
        values = _values(checkpoint, config, context)
        command, environment = _started(values, config)
        (work / "out").mkdir(exist_ok=True)
        if rows:
            _write(rows, Path(values["data"]))
        version = _version(config.version)
        since = _first_start(work)
        seconds = run(
            command,
            environment=environment,
            folder=Path(config.working_folder) if config.working_folder else None,
            log=log_path(context),
            limits=Limits(total_s=config.limit_s, silent_s=config.silent_s, grace_s=config.grace_s),
            progress=lambda done, total: context.progress("engine", done, total),
            held=(held,),
        )
    _unchanged(checkpoint)
    output = _output(config, context)
    _refuse_elsewhere(output, config, context, since)
    place = find(output / (config.result or ""), since)
    told: dict[str, Any] = {"command": command, "environment": environment, "version": version}
    told |= {"result": str(place.folder.relative_to(output)), "adapter": place.kind == "adapter"}
    return context.finish(
        _taken(place, checkpoint),
        parent=checkpoint,
        stage="engine",
        config=config,
        data=rows or None,
        measure=lambda _: {"engine": {**told, "seconds": round(seconds, 1)}},
    )


def _check_program(name: str, folder: Path, path: str | None) -> None:
    """Stop where there is no such program, in `folder` or on the search path.

    Raises:
        UsageError: names it.
    """
    there = os.access(folder / name, os.X_OK) if os.sep in name else shutil.which(name, path=path)
    if not there:
        raise UsageError(
            f"There is no program '{name}' that can be started here; install it or check the command."
        )


def log_path(context: StageContext) -> Path:
    """Where all that the program says is kept, beside the checkpoint folder."""
    return context.out.with_name(context.out.name + ".log")


def _output(config: EngineConfig, context: StageContext) -> Path:
    """Where the program writes."""
    return Path(config.output) if config.output else context.work / "out"


def _values(
    checkpoint: Checkpoint | None, config: EngineConfig, context: StageContext
) -> dict[str, str]:
    """What the placeholders stand for."""
    work = context.work.absolute()  # the program may run in another folder
    found: dict[str, Any] = {"out": work / "out", "seed": context.seed, "device": context.device}
    found |= {"threads": context.threads, "world_size": context.world_size}
    if checkpoint is not None:
        found["checkpoint"] = checkpoint.path.resolve()
    if config.data:
        found["data"] = work / f"data.{config.data_format}"
    return {name: str(value) for name, value in found.items()}


def _started(values: Mapping[str, str], config: EngineConfig) -> tuple[list[str], dict[str, str]]:
    """The command and the variables set for it."""
    command = [_filled(text, values) for text in config.command]
    return command, {k: _filled(text, values) for k, text in config.environment.items()}


def _write(rows: Mapping[str, Sequence[Row]], file: Path) -> None:
    """Write the rows of all datasets into one file, JSONL or parquet by its name."""
    import pandas

    table = pandas.DataFrame([dict(row) for some in rows.values() for row in some])
    if file.suffix == ".parquet":
        table.to_parquet(file, index=False)
    else:
        table.to_json(file, orient="records", lines=True, force_ascii=False)


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UsageError(
                f"The command uses {{{match[1]}}} and there is none; give the stage a {match[1]}."
            )
        return values[match[1]]

    return PLACEHOLDER.sub(value, text)


def _version(command: Sequence[str]) -> str | None:
    """The first line that a command prints; None where it prints none or fails."""
    if not command:
        return None
    try:
        done = subprocess.run(
            list(command),
            capture_output=True,
            timeout=_ASKING,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
    return "".join(c for c in lines[0] if c.isprintable())[:200] if lines else None


def _first_start(work: Path) -> float:
    """When the program was started for the first time on this work, in seconds since the epoch."""
    file = work / "started"
    if not file.is_file():
        file.write_text(repr(time.time()), encoding="utf-8")
    return float(file.read_text(encoding="utf-8"))


@contextmanager
def _alone(work: Path) -> Iterator[int]:
    """A lock that the program holds too, so that it is not started beside one that a kill left behind.

    Raises:
        UsageError: it is running.
    """
    with (work / "running").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"A program started by an earlier run still works in '{work}'; wait for it or end it."
            ) from error
        os.set_inheritable(file.fileno(), True)
        yield file.fileno()


def _unchanged(checkpoint: Checkpoint | None) -> None:
    """Stop if the program wrote into its input: the baseline would no longer be what it was.

    Raises:
        CheckpointError: it did.
    """
    if checkpoint is not None and digest_folder(checkpoint.path) != checkpoint.digest:
        raise CheckpointError(
            f"The program changed its input '{checkpoint.path}'; restore it, and point the program's output "
            "option at {out}."
        )


def _refuse_elsewhere(
    output: Path, config: EngineConfig, context: StageContext, since: float
) -> None:
    """Stop if the program left its output folder empty and wrote a checkpoint where it ran.

    Raises:
        CheckpointError: names both places.
    """
    if output.is_dir() and any(path.is_file() for path in output.rglob("*")):
        return
    wrong = elsewhere(Path(config.working_folder or "."), since, context.work.resolve())
    if wrong is not None:
        raise CheckpointError(
            f"The program wrote to '{wrong}' and left '{output}' empty; point its output option at {{out}}, or "
            "name that folder in `output`."
        )


def _taken(place: Place, checkpoint: Checkpoint | None) -> Callable[[Path], None]:
    """What fills the new checkpoint folder from what the program left.

    Raises:
        UsageError: an adapter, and no checkpoint to merge it into.
    """
    if place.kind == "adapter":
        if checkpoint is None:
            raise UsageError(
                f"The program left an adapter in '{place.folder}' and the stage has no checkpoint to merge it "
                "into; give the stage one."
            )
        base = load(checkpoint.path, "cpu", "auto", trust_remote_code=False)
        return saver(with_adapter(base.model, place.folder), base.tokenizer)

    def copy(folder: Path) -> None:
        index = place.folder / "model.safetensors.index.json"
        configs = [place.folder / name for name in (*CONFIGS, *TEXTS) if "adapter" not in name]
        for file in (*weights(place), index, *configs):
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
        if not (folder / "model.safetensors").is_file():
            _write_index(folder)
        if checkpoint is not None and not (folder / "tokenizer_config.json").is_file():
            for name in ("tokenizer_config.json", *TEXTS):
                if (checkpoint.path / name).is_file():
                    shutil.copyfile(checkpoint.path / name, folder / name)

    return copy


def _write_index(folder: Path) -> None:
    """Say which shard holds which tensor where the program did not; transformers finds none without it."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return
    found = shards(folder)
    placed = {tensor: file.name for file, header in found.items() for tensor in header.tensors}
    sizes = [e.end - e.start for header in found.values() for e in header.tensors.values()]
    told = {"metadata": {"total_size": sum(sizes)}, "weight_map": placed}
    index.write_text(json.dumps(told, indent=1, sort_keys=True), encoding="utf-8")

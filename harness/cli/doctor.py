"""`waterbed doctor`: what works on this machine, by really trying it."""

from __future__ import annotations

import os
import platform
from typing import Annotated, Any

import typer

from ..manifest import package_versions
from .output import print_json, table


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say what works here: devices, packages, data, caches."""
    checks = [*_machine(), *_packages(), *_vllm(), *_sandbox(), *_data(), *_caches()]
    if json_:
        print_json(checks)
    else:
        table(("check", "result"), [[c["check"], c["result"]] for c in checks])


def _row(check: str, result: Any) -> dict[str, str]:
    return {"check": check, "result": str(result)}


def _machine() -> list[dict[str, str]]:
    import torch

    devices = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [
        _row("python", platform.python_version()),
        _row("system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"),
        _row("devices", ", ".join(devices)),
        _row("torch threads", torch.get_num_threads()),
    ]


def _packages() -> list[dict[str, str]]:
    return [_row(name, found) for name, found in package_versions().items()]


def _vllm() -> list[dict[str, str]]:
    """Whether vLLM loads, and what it was built for; no engine is started."""
    from ..backends.vllm_engine import import_vllm, on_cpu
    from ..errors import BackendError

    try:
        import_vllm()
        return [_row("backend vllm", f"loads, for {'CPUs' if on_cpu() else 'GPUs'}")]
    except BackendError as error:
        return [_row("backend vllm", f"not usable: {error}")]


def _sandbox() -> list[dict[str, str]]:
    """The isolation levels, each tried with honest and hostile programs."""
    from ..sandbox import ladder

    return [_row(f"sandbox {level}", fault or "works") for level, fault in ladder().items()]


def _data() -> list[dict[str, str]]:
    """Whether each registered suite's items can be loaded, with their own sentence where not."""
    from ..errors import WaterbedError
    from ..tasks import tasks

    rows = []
    for name, task in sorted(tasks.all().items()):
        try:
            rows.append(_row(f"suite {name}", f"{len(task.items)} items, {task.card.verified}"))
        except WaterbedError as error:
            rows.append(_row(f"suite {name}", f"not usable: {error}"))
    return rows


def _caches() -> list[dict[str, str]]:
    from ..folders import cache_folder

    folder = cache_folder("answers")
    usable = "writable" if os.access(folder, os.W_OK) else "not writable: answers are not shared"
    return [_row("cache", f"{folder.parent} ({usable})")]

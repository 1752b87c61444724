"""Runs `waterbed` commands in forks of a process that has imported what they need.

A line of JSON on stdin is one command: `{"arguments", "environment", "log", "largest_file"}`, answered by
the child's process id and, when it has ended, its exit code. What a test kills is the child.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from typing import Any

HEAVY = (
    "pandas",
    "pyarrow.parquet",
    "safetensors.torch",
    "scipy.stats",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "waterbed.harness.gate_live",
    "waterbed.harness.loop",
    "waterbed.reports.lineage_page",
)


def main() -> None:
    for name in HEAVY:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            run(order)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(order: dict[str, Any]) -> None:
    """In the child; never returns."""
    from waterbed.harness.cli.app import main as command

    code = 70
    try:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.environ.update(order["environment"])
        if order["largest_file"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"],) * 2)
        command(order["arguments"])
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()

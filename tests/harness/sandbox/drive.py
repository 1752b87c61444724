"""Run programs as somebody else: started by test_elsewhere.py, reads a job and writes results.

Needs nothing but the standard library and the sandbox, so any interpreter will do. May first give
up root, and put on the system-call filter of a default container.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

#: What Docker's default profile refuses without CAP_SYS_ADMIN, as far as a sandbox could want it.
REFUSED = ("unshare", "setns", "mount", "umount2", "pivot_root", "mount_setattr")


def main() -> None:
    job = json.load(sys.stdin)
    if job["uid"] is not None:
        os.setgroups([])
        os.setgid(job["uid"])
        os.setuid(job["uid"])
    if job["container"]:
        _put_on_container_filter()
    json.dump(_run(job), sys.stdout)


def _put_on_container_filter() -> None:
    from waterbed.harness.sandbox import kernel, seccomp

    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.Filter(seccomp.refusing(kernel.machine(), REFUSED)).install()


def _run(job: dict[str, Any]) -> dict[str, Any]:
    from waterbed.harness.errors import NoSandbox
    from waterbed.harness.sandbox import Call, Limits, Program, Sandbox

    programs = [
        Program(
            row["prompt"],
            row["completion"],
            Call(row["check"]["test"]),
            row["entry_point"],
            Limits(**row["limits"]),
            row["allow_fork"],
        )
        for row in job["programs"]
    ]
    try:
        with Sandbox.open(job["level"], job["workers"]) as pool:
            results = {index: execution.to_json() for index, execution in pool.run(programs)}
            ordered = [results[index] for index in range(len(programs))]
            return {"level": pool.level, "skipped": pool.skipped, "results": ordered}
    except NoSandbox as error:
        return {"level": None, "error": str(error), "results": []}


if __name__ == "__main__":
    main()

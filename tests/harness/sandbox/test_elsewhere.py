"""The same promises as an ordinary user, and inside a container that refuses namespaces."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import waterbed

NOBODY = 65534
DRIVER = Path(__file__).with_name("drive.py")
#: (level asked for, inside a container's filter, level expected)
PLACES = [("auto", False, "L3"), ("L2", False, "L2"), ("auto", True, "L2")]


def _reachable(path: str) -> bool:
    """Whether any user may go there."""
    folders = [Path(path), Path(path).resolve()]
    return all(
        parent.stat().st_mode & 0o001 for folder in folders for parent in folder.absolute().parents
    )


def _interpreter(for_others: bool) -> str:
    """An interpreter that the user can start: this one, or the system's."""
    choices = [sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""]
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    for path in filter(_reachable, choices) if for_others else choices[:1]:
        if path and subprocess.run([path, "-c", code], check=False).returncode == 0:
            return path
    pytest.skip("no Python 3.11 that another user can start")


def _run_as(uid: int | None, level: str, container: bool, programs: list[Any]) -> dict[str, Any]:
    package = Path(waterbed.__file__ or "").parent.parent
    if uid is not None and not _reachable(str(package / "waterbed" / "harness" / "errors.py")):
        pytest.skip("the package lies where another user cannot read it")
    job = {
        "uid": uid,
        "level": level,
        "container": container,
        "workers": 1,
        "programs": [program.to_json() for program in programs],
    }
    done = subprocess.run(
        [_interpreter(uid is not None), str(DRIVER)],
        input=json.dumps(job),
        env={**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


def _users() -> list[int | None]:
    return [None, NOBODY] if os.geteuid() == 0 else [None]


@pytest.mark.parametrize("uid", _users())
@pytest.mark.parametrize(("level", "container", "expected"), PLACES)
def test_hostile_programs_fail_and_honest_ones_pass_for_every_user_and_in_a_container(
    uid: int | None,
    level: str,
    container: bool,
    expected: str,
    shared_corpus: Any,
    own_corpus: Any,
    host: Any,
) -> None:
    slow = {"time", "resource"}
    cases = [case for case in (*shared_corpus, *own_corpus) if case.kind not in slow]
    if uid is not None:
        host.give_to(uid)
    said = _run_as(uid, level, container, [case.program for case in cases])
    if said["level"] is None:
        pytest.skip(said["error"])
    assert said["level"] == expected, said["skipped"]
    wrong = [
        (case.id, result)
        for case, result in zip(cases, said["results"], strict=True)
        if (result["outcome"] == "passed") == case.hostile or result["outcome"] == "sandbox_error"
    ]
    assert wrong == []
    assert host.harm() == []


def test_a_refused_level_says_why_and_what_to_do() -> None:
    said = _run_as(None, "L3", True, [])
    assert said["level"] is None
    assert "unshare" in said["error"]
    assert "--unsafe-local-exec" in said["error"]

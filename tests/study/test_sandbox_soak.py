"""Ten thousand samples in a row leave nothing behind: no process, descriptor, mount, file or memory.

Samples pass, fail, crash, hang up, flood, and leave files, threads and processes. Counts are taken
after the first thousand, when caches are warm, and at the end. Every fiftieth sample is an honest
one whose result is checked, so that a pool that has stopped working cannot look like a clean one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from waterbed.harness.errors import NoSandbox
from waterbed.harness.sandbox import Call, Limits, Program, Sandbox

pytestmark = pytest.mark.study

SAMPLES, WARM = 10_000, 1_000
ADD = 'def add(x, y):\n    """Add."""\n'
TESTS = [
    f"def check(candidate):\n    for i in range({n}):\n        assert candidate(i, 7) == i + 7\n"
    for n in (1, 5, 9)
]
GOOD = "    return x + y\n"
BODIES = [
    "    return x - y\n",
    "    import os\n    os._exit(0)\n",
    "    import os\n    os.abort()\n",
    "    import threading, time\n    threading.Thread(target=time.sleep, args=(9,)).start()\n",
    "    for i in range(50): open(f'f{i}', 'wb').write(bytes(9999))\n    return x + y\n",
    "    import os\n    os.makedirs('a/b/c')\n    return [os.open('.', os.O_RDONLY) for _ in 'ab']\n",
    "    import os\n    os.closerange(3, 99)\n    return 0\n",
    "    return 'A' * (2 << 20)\n",
    "    import os\n    os.fork() or os.setsid()\n    return x + y\n",
    "    raise ValueError('x' * 10**6)\n",
]


def _programs() -> Iterator[Program]:
    limits = Limits(wall_s=20.0)
    bodies = itertools.cycle(BODIES)
    for number in range(SAMPLES):
        body = GOOD if number % 2 == 0 else next(bodies)
        test = Call(TESTS[number // 4 % len(TESTS)])
        yield Program(ADD, body, test, "add", limits, allow_fork="fork" in body)


def _below() -> list[int]:
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{name}/stat").read_text()
            parents[int(name)] = int(text.rpartition(")")[2].split()[1])
    below = [os.getpid()]
    for pid in below:
        below += [child for child, parent in parents.items() if parent == pid]
    return below[1:]


def _held() -> dict[str, int]:
    """What is held now: here and, as far as it can be seen, in the pool's processes."""
    pids = _below()
    mounts = fds = memory = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            mounts += len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines())
            fds += len(os.listdir(f"/proc/{pid}/fd"))
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            memory += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    folders = [f for f in os.listdir(tempfile.gettempdir()) if f.startswith("waterbed-")]
    return {
        "processes": len(pids),
        "own descriptors": len(os.listdir("/proc/self/fd")),
        "pool descriptors": fds,
        "own mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "pool mounts": mounts,
        "folders": len(folders),
        "pool kB": memory,
    }


@pytest.mark.parametrize("level", ["L3", "L2"])
def test_ten_thousand_samples_leave_nothing_behind(level: str) -> None:
    before = _held()
    try:
        pool = Sandbox.open(level, 2)
    except NoSandbox as error:
        pytest.skip(str(error))
    with pool:
        warm: dict[str, int] = {}
        for done, (index, execution) in enumerate(pool.run(_programs())):
            assert execution.outcome != "sandbox_error", execution
            assert execution.passed or index % 2, (index, execution)
            if done == WARM:
                warm = _held()
        end = _held()
    after = _held()
    print(level, {"before": before, "warm": warm, "end": end, "after": after})
    memory, now = warm.pop("pool kB"), end.pop("pool kB")
    assert now < 1.25 * memory + 4096
    for name, count in end.items():
        # A sample may be under way, with its process, its few mounts and descriptors, when counted.
        slack = {"processes": 4, "pool descriptors": 40, "pool mounts": 60, "own descriptors": 12}
        assert count <= warm[name] + slack.get(name, 0), (name, warm, end)
    assert {k: v for k, v in after.items() if k != "pool kB"} == {
        k: v for k, v in before.items() if k != "pool kB"
    }

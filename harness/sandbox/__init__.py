"""Runs model-written programs: quickly, without harm, and so that a pass cannot be forged.

    with Sandbox.open() as sandbox:
        for index, execution in sandbox.run(programs):
            ...

What it covers, at the level that every result names:

- L3 (namespaces): a program sees the interpreter's files, read-only, and nothing else of the
  host: no home, no /proc, no environment, no network, no other process. What it writes goes to
  memory file systems of bounded size. Everything it started dies with it.
- L2 (Landlock, system-call filter, limits, a uid of its own where started as root; for
  containers): it reads the interpreter's files only, writes one folder that is wiped, has no
  sockets, starts nothing, signals nobody.
- Both: CPU, time, memory, threads, processes, file sizes, disk, result size are limited
  (`Limits`); no fork unless the task allows it; no exec; only the system calls that Python needs.
- The verdict (`integrity: split`): tests, expected values and the verdict's channel are never in
  the candidate's process or an ancestor of it. Results cross as plain JSON of exact builtin types.
  Exit codes, output, exceptions and objects of the candidate's are never evidence of a pass.
- A level is chosen by running honest and hostile programs through it; set-up that fails later is
  `sandbox_error`, never a weaker level and never a failed program.

What it does not cover:

- Bugs of the kernel. For models that attack on purpose use a `Runtime` on a virtual machine.
- Side channels: timing, caches, load of the host.
- `Source` checks (`integrity: shared`): program and test share a process, which the program rules.
- L2: which process ids exist, and the existence, size and times of host files, can be seen; many
  small files are noticed a quarter of a second late; samples share an IPC and network namespace
  they cannot use.
- What a program does inside its own process, such as computing the right answer by a wrong way, or
  changing arguments in place so that the test compares with what it changed.
- Devices: no GPU inside.

Outside run `program` (records), `pool` (levels, scheduling), `worker`, `spawn`, `verdict`,
`canary`. Inside, with the standard library only, run `boot`, `zygote`, `places` (the levels),
`namespaces`, `landlock`, `seccomp`, `syscalls`, `kernel`, `interpreter`, `scratch`, `candidate`,
`checker`, `calls`, `codec`, `semaphores`, `wire`.
"""

from .pool import Runtime, Sandbox, ladder
from .program import Call, Execution, Limits, Program, Source, Stdio

__all__ = [
    "Call",
    "Execution",
    "Limits",
    "Program",
    "Runtime",
    "Sandbox",
    "Source",
    "Stdio",
    "ladder",
]

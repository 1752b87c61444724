"""What the files that run inside are made of: the right numbers, nothing but the standard library."""

from __future__ import annotations

import ast
import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from waterbed.harness import sandbox
from waterbed.harness.sandbox import kernel, namespaces, scratch, seccomp
from waterbed.harness.sandbox.checker import same_output
from waterbed.harness.sandbox.syscalls import NUMBERS, SPECIAL, ZYGOTE

FOLDER = Path(sandbox.__file__ or "").parent
OUTSIDE = {"__init__", "program", "pool", "worker", "spawn", "verdict", "canary"}
HEADERS = {
    "x86_64": [
        "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        "/usr/include/asm/unistd_64.h",
    ],
    "aarch64": ["/usr/include/asm-generic/unistd.h"],
}


@pytest.mark.parametrize("machine", HEADERS)
def test_system_call_numbers_are_the_kernels(machine: str) -> None:
    header = next(filter(os.path.exists, HEADERS[machine]), None)
    if header is None:
        pytest.skip(f"no kernel headers of {machine}")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
    numbers = {name: int(number) for name, number in found}
    numbers.setdefault("newfstatat", numbers.get("fstatat", -1))
    assert {name: numbers.get(name) for name in NUMBERS[machine]} == NUMBERS[machine]


def test_both_machines_have_what_confines_them() -> None:
    old = {"fork", "vfork", "chmod", "chown", "lchown", "utime", "utimes", "futimesat"}
    for numbers in NUMBERS.values():
        assert not (SPECIAL | ZYGOTE) - old - set(numbers)


@pytest.mark.parametrize("machine", NUMBERS)
def test_filters_are_whole_instructions_that_end_in_an_answer(machine: str) -> None:
    programs = [seccomp.zygote_filter(machine)]
    for fork in (False, True):
        for signals in (False, True):
            options = {"fork": fork, "signals": signals, "metadata": signals}
            programs.append(seccomp.sample_filter(machine, **options))
    for program in programs:
        assert len(program) % 8 == 0
        count = len(program) // 8
        assert count < 4096
        for at in range(count):
            code, yes, no = program[at * 8], program[at * 8 + 2], program[at * 8 + 3]
            if code & 7 == 5:  # a jump lands inside
                assert at + 1 + max(yes, no) < count
        assert program[-8] == 0x06


def test_an_unknown_machine_has_no_filter() -> None:
    with pytest.raises(OSError, match="riscv64"):
        seccomp.zygote_filter("riscv64")


def test_files_that_run_inside_import_the_standard_library_only() -> None:
    for file in FOLDER.glob("*.py"):
        if file.stem in OUTSIDE:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level <= 1, file
                inside = [node.module] if node.module else [alias.name for alias in node.names]
                names = [] if node.level else [str(node.module)]
                assert not node.level or OUTSIDE.isdisjoint(inside), (file, inside)
            else:
                continue
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names, (file, names)


def test_a_filter_refuses_what_it_should_and_nothing_else() -> None:
    """In a process of its own, since a filter stays."""
    code = (
        "from waterbed.harness.sandbox import kernel, seccomp\n"
        "import os\n"
        "kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)\n"
        "program = seccomp.refusing(kernel.machine(), ('getcwd',), 95)\n"
        "seccomp.Filter(program).install()\n"
        "os.stat('/')\n"
        "try:\n    os.getcwd()\nexcept OSError as error:\n    print(error.errno)\n"
    )
    if sys.platform != "linux" or kernel.machine() not in NUMBERS:
        pytest.skip("no filters here")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "95"


def test_a_scratch_folder_is_emptied_whatever_is_in_it(tmp_path: Path) -> None:
    deep, outside = tmp_path / "in", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    deep.mkdir()
    (deep / "link").symlink_to(outside)
    home = os.getcwd()
    try:
        os.chdir(deep)
        for _ in range(300):  # far beyond the longest path there is
            os.mkdir("d" * 100)
            os.chdir("d" * 100)
        Path("leaf").write_text("x")
    finally:
        os.chdir(home)
    (deep / "closed").mkdir()
    (deep / "closed" / "inner").mkdir()
    (deep / "closed").chmod(0)
    assert scratch.over_limit(str(deep), 1 << 30, 100)
    scratch.empty(str(deep))
    assert os.listdir(deep) == []
    assert (outside / "kept").read_text() == "kept"


def test_a_scratch_folder_is_measured_in_blocks_and_entries(tmp_path: Path) -> None:
    (tmp_path / "sparse").write_bytes(b"")
    os.truncate(tmp_path / "sparse", 1 << 30)
    (tmp_path / "real").write_bytes(bytes(1 << 16))
    assert not scratch.over_limit(str(tmp_path), 1 << 20, 10)
    assert scratch.over_limit(str(tmp_path), 1 << 12, 10)
    assert scratch.over_limit(str(tmp_path), 1 << 20, 1)


@pytest.mark.parametrize(
    ("printed", "wanted", "same"),
    [
        ("1\n2\n", "1\n2", True),
        (" 1 \n 2", "1\n2", True),
        ("1.0 2", "1 2.00", True),
        ("1", "1\n2", False),
        ("1\n2", "1", False),
        ("", "1", False),
        ("a b", "a  b", False),
        ("nan", "nan", True),
        ("1e999999999", "1", False),
    ],
)
def test_output_is_compared_line_by_line_with_lengths_first(
    printed: str, wanted: str, same: bool
) -> None:
    assert same_output(printed, wanted) is same


def test_a_struct_handed_to_the_kernel_has_the_size_it_expects() -> None:
    assert ctypes.sizeof(ctypes.c_void_p) == 8
    assert len(kernel._CAPABILITY_HEADER) == 8


@pytest.mark.parametrize(
    ("path", "folder"),
    [("/usr/lib/python3", "/tmp"), ("/tmp/venv/lib", "/scratch"), ("/tmpfiles/venv", "/tmp")],
)
def test_an_interpreter_below_tmp_is_not_hidden_by_the_scratch_folder(
    path: str, folder: str
) -> None:
    assert namespaces.scratch_folder(["/lib", path]) == folder

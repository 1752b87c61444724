"""The walls stand: who may import whom, what is light, and that every folder is shipped."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import waterbed

PACKAGE = Path(waterbed.__file__).parent
ROOT = Path(__file__).parent.parent
OUTER = ("suites", "trainers", "reports")


def modules() -> list[str]:
    found = pkgutil.walk_packages([str(PACKAGE)], "waterbed.")
    return [m.name for m in found if not m.name.startswith("waterbed.tests")]


def imports(name: str) -> Iterator[str]:
    """Absolute names of the package's own modules that a module imports, wherever in the file."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    package = name if spec.submodule_search_locations else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            yield importlib.util.resolve_name(relative, package) if node.level else relative
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("name", modules())
def test_every_module_can_be_imported(name: str) -> None:
    if name not in ("waterbed.harness.sandbox.candidate", "waterbed.harness.sandbox.checker"):
        importlib.import_module(name)


def test_the_harness_imports_no_suite_trainer_or_report_but_the_command_line_may() -> None:
    for name in modules():
        if name.startswith("waterbed.harness") and not name.startswith("waterbed.harness.cli"):
            outer = [
                i for i in imports(name) if i.startswith(tuple(f"waterbed.{o}" for o in OUTER))
            ]
            assert not outer, f"{name} imports {outer}"


def test_suites_trainers_and_reports_never_import_each_other() -> None:
    for name in modules():
        part = name.split(".")[1]
        others = tuple(f"waterbed.{o}" for o in OUTER if o != part)
        if part in OUTER:
            crossing = [i for i in imports(name) if i.startswith(others)]
            assert not crossing, f"{name} imports {crossing}"


def test_inside_the_package_imports_are_relative() -> None:
    for name in modules():
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert not (node.module or "").startswith("waterbed"), f"{name}:{node.lineno}"


HEAVY = ("torch", "transformers", "pandas", "scipy", "pyarrow", "sklearn", "datasets", "nltk")
STARTS = (
    "import waterbed",
    "from waterbed.harness.cli.app import app",
    "from waterbed.harness.stage import stages; stages.all()",
)


@pytest.mark.parametrize("code", STARTS)
def test_what_starts_fast_loads_nothing_heavy(code: str) -> None:
    check = f"{code}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_folder_with_code_is_listed_as_a_package() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(config["tool"]["setuptools"]["packages"])
    folders = {p.parent for o in ("harness", *OUTER) for p in (ROOT / o).rglob("*.py")}
    folders |= {ROOT / "reports" / "templates"}
    there = {".".join(["waterbed", *f.relative_to(ROOT).parts]) for f in folders}
    assert listed == {"waterbed", *there}


def test_every_public_name_exists() -> None:
    for name in waterbed.__all__:
        assert getattr(waterbed, name) is not None

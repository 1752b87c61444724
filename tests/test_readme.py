"""Every snippet of the README works as printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from waterbed.harness.checkpoints import Checkpoint

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, pocket_base: Checkpoint) -> Path:
    """A folder as the README assumes it: two checkpoints, answers of two days, the suite, a policy."""
    for name in ("base", "candidate"):
        shutil.copytree(pocket_base.path, tmp_path / name)
    (tmp_path / "capitals.py").write_text(next(s for s in snippets("python") if "@task" in s))
    (tmp_path / "gate.yaml").write_text(next(s for s in snippets("yaml") if "name: harm" in s))
    capitals = {"France": "Paris", "Japan": "Tokyo", "Peru": "Lima", "Kenya": "Nairobi"}
    for day in ("monday", "tuesday"):
        rows = [{"id": k, "response": v} for k, v in capitals.items()]
        (tmp_path / f"{day}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return tmp_path


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = re.sub("^waterbed ", f"{sys.executable} -m waterbed ", line)
    command = re.sub("^python ", f"{sys.executable} ", command)
    return subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, env={**os.environ}
    )


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 250


def test_the_two_commands_name_environments_that_exist() -> None:
    tox = (ROOT / "tox.ini").read_text()
    commands = re.findall(r"\$ (pip install tox && tox.*?)\s+#", TEXT)
    assert commands == ["pip install tox && tox run -e demo", "pip install tox && tox"]
    assert "[testenv:demo]" in tox


def test_the_gate_commands_run_as_printed(folder: Path) -> None:
    """A model against itself shows no harm; four items are too few for any verdict but 3."""
    gate, score = (s.strip().splitlines() for s in snippets("bash") if " gate " in s)
    gate = [line + " --limit 40" if " eval " in line else line for line in gate]
    for line in [*gate, *score]:
        done = run(line, folder)
        allowed = {3} if "monday runs" in line else {0, 3} if " gate " in line else {0}
        assert done.returncode in allowed, (line, done.stdout, done.stderr)
    assert list(folder.glob("waterbed-out/*/gate.html"))


def test_the_training_commands_run_as_printed(folder: Path) -> None:
    install, *commands = next(s for s in snippets("bash") if "launch" in s).strip().splitlines()
    assert install == "pip install waterbed[train]"
    (folder / "sft.yaml").write_text(next(s for s in snippets("yaml") if "replay: {" in s))
    for line in commands:
        done = run(line, folder)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert (folder / "tuned" / "model.safetensors").is_file()


def test_the_recipe_runs_as_printed(folder: Path) -> None:
    """A hundred items of two suites decide little: any verdict will do, but a verdict it must be."""
    (folder / "recipe.yaml").write_text(next(s for s in snippets("yaml") if "stages:" in s))
    done = run(next(s for s in snippets("bash") if " loop " in s).strip(), folder)
    assert done.returncode in {0, 1, 3}, (done.stdout, done.stderr)
    assert json.loads((folder / "loop" / "loop.json").read_text())


def test_the_python_snippets_run_as_printed(folder: Path) -> None:
    for number, code in enumerate(snippets("python")):
        file = folder / f"snippet_{number}.py"
        file.write_text(code.replace('"runs/b")', '"runs/b")'))
        done = subprocess.run(
            [sys.executable, str(file)], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_the_stage_of_the_readme_makes_a_checkpoint(folder: Path) -> None:
    code = next(s for s in snippets("python") if "@stage" in s)
    use = """
from waterbed.harness.checkpoints import open_checkpoint
from waterbed.harness.stage import StageContext, stages
base = open_checkpoint("base")
made = stages.get("round").run(base, StageContext(Path("rounded")))
assert made.parent == base.digest and made.digest != base.digest
"""
    (folder / "use.py").write_text(code + use)
    done = subprocess.run([sys.executable, "use.py"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_file_tree_names_folders_that_exist() -> None:
    tree = TEXT.split("## Files")[1].split("```")[1]
    for line in tree.strip().splitlines():
        name = line.split()[0]
        places = [ROOT / name, ROOT / "harness" / name]
        assert any(p.is_dir() for p in places), name

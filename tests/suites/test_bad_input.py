"""Bad data costs one sentence and the right exit code at the command line, whatever is wrong with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_answers import ROWS

from waterbed.harness.cli.app import main
from waterbed.harness.tasks import tasks

Said = tuple[int, str]
READERS = sorted(
    name
    for name in tasks.all()
    if any(name.startswith(start) for start in ROWS) and "mmlu" not in name and "aime" not in name
)


@pytest.fixture
def scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, Path | None], Said]:
    """Score one answer with a suite and a file of items; the exit code and the sentence."""
    for task in tasks.all().values():  # an earlier test of this process may have read the real data
        for name in ("body", "items", "data_hash"):
            task.__dict__.pop(name, None)
    (tmp_path / "answers.jsonl").write_text('{"id": "x", "response": "7"}\n')

    def run(suite: str, items: Path | None) -> Said:
        given = ["score", suite, "--responses", str(tmp_path / "answers.jsonl")]
        given += ["--out", str(tmp_path / "run"), *(["--items", str(items)] if items else [])]
        with pytest.raises(SystemExit) as ended:
            main(given)
        lines = capsys.readouterr().err.splitlines()
        said = [line for line in lines if line.startswith("waterbed: ")]
        assert len(said) == 1 and not any("Traceback" in line for line in lines), lines
        return int(str(ended.value.code)), said[0]

    return run


def test_a_data_file_of_another_content_is_refused_with_both_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored: Callable[[str, Path | None], Said]
) -> None:
    monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text('{"question": "1+1?", "answer": "#### 2"}\n')
    code, said = scored("gsm8k-0shot", None)
    assert code == 4
    assert "has sha256" in said and "was written for 3730d312f6e3" in said and "again" in said


def test_missing_data_say_where_to_get_them_and_what_a_gated_set_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored: Callable[[str, Path | None], Said]
) -> None:
    monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
    code, said = scored("gpqa-diamond", None)
    assert code == 2
    assert "gated" in said and "HF_TOKEN" in said and "--items" in said
    monkeypatch.delenv("WATERBED_DATA")
    code, said = scored("xstest", None)
    assert code == 2
    assert "WATERBED_DATA is not set" in said


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("value", [None, 7, [], "", {"a": 1}])
def test_an_item_with_a_missing_or_wrong_field_is_named_or_read(
    name: str, value: object, tmp_path: Path, scored: Callable[[str, Path | None], Said]
) -> None:
    row = next(row for start, row in ROWS.items() if name.startswith(start))
    refused = 0
    for field in row:
        file = tmp_path / f"{field}.jsonl".replace(" ", "")
        kept = {k: v for k, v in row.items() if k != field}
        file.write_text(json.dumps(kept if value is None else {**kept, field: value}) + "\n")
        code, said = scored(name, file)
        assert code in (2, 4), said
        if (
            "answers.jsonl" not in said
        ):  # else the field was not needed, and the answer's id is unknown
            assert file.name in said and "1 " in said, said
            refused += 1
    assert refused > 0 or value in (7, "")


def test_a_hub_that_cannot_be_reached_costs_one_sentence(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "waterbed", "eval", "someone/some-model", "-s", "pocket/math"]
    closed = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [*asked, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env=closed,
        check=False,
    )
    assert done.returncode == 2
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("waterbed: ")]
    assert "someone/some-model" in said and "network" in said and "HF_TOKEN" in said
    assert "Traceback" not in done.stderr

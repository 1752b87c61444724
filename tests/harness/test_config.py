"""Configuration files: every problem at once, each with its line, and nothing hostile acted upon."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from waterbed.harness.config import MAX_BYTES, Config, load_config, parse_config
from waterbed.harness.errors import ConfigError, UsageError


class Stage(Config):
    name: str
    steps: int = Field(default=1, ge=1)


class Recipe(Config):
    title: str = ""
    rate: float = 0.1
    mode: Literal["fast", "slow"] = "fast"
    stages: list[Stage] = Field(default_factory=list)
    extra: dict[str, Stage] = Field(default_factory=dict)
    maybe: Stage | None = None
    notes: dict[str, Any] = Field(default_factory=dict)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, Recipe, "r.yaml")
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def test_a_valid_file_becomes_its_model(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("title: x\nrate: 1e-3\nstages:\n  - {name: sft, steps: 3}\n", encoding="utf-8")
    recipe = load_config(file, Recipe)
    assert recipe.stages == [Stage(name="sft", steps=3)]
    assert recipe.rate == 0.001  # a number for everybody but YAML 1.1


def test_an_empty_file_is_all_defaults() -> None:
    assert parse_config("# nothing\n", Recipe) == Recipe()


def test_an_unknown_key_names_its_line_the_nearest_key_and_the_value() -> None:
    assert problems("title: x\nratee: 0.5\n") == [
        "r.yaml:2: unknown key 'ratee'; did you mean 'rate'? (got 0.5)"
    ]


def test_an_unknown_key_near_nothing_lists_what_is_known() -> None:
    assert "known: extra, maybe, mode" in problems("zzz: 1\n")[0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("stages:\n  - name: a\n    step: 3\n", 3),
        ("extra:\n  one:\n    name: a\n    step: 3\n", 4),
        ("maybe:\n  name: a\n  step: 3\n", 3),
    ],
)
def test_the_suggestion_knows_the_keys_of_nested_models(text: str, line: int) -> None:
    assert problems(text) == [f"r.yaml:{line}: unknown key 'step'; did you mean 'steps'? (got 3)"]


def test_all_problems_are_listed_in_the_order_of_lines() -> None:
    text = "mode: medium\nrate: fast\nstages:\n  - steps: 0\nrate: 2\ntitel: x\n"
    found = problems(text)
    assert [line.split(":")[1] for line in found] == ["1", "2", "4", "4", "5", "6"]
    assert found[0] == "r.yaml:1: 'mode' should be 'fast' or 'slow' (got 'medium')"
    assert "the key 'stages.0.name' is missing" in "\n".join(found)
    assert "the key 'rate' is given twice (first on line 2)" in found[4]


def test_a_file_that_is_no_mapping_is_refused() -> None:
    assert problems("- a\n- b\n") == ["r.yaml:1: expected `key: value` lines (got a list)"]


def test_broken_yaml_names_the_line() -> None:
    assert problems("title: x\nrate: [1\n")[0].startswith("r.yaml:3: this is not YAML")


def test_aliases_are_refused_before_they_can_grow() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    began = time.monotonic()
    assert problems(bomb) == ["r.yaml:2: aliases are not accepted; write the value out (got '*a')"]
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("tag", ["!!set", "!mine", "!!binary", "!!python/name:os.system"])
def test_tags_are_refused(tag: str) -> None:
    assert problems(f"notes:\n  x: {tag} y\n")[0].startswith("r.yaml:2: tags are not accepted")


def test_a_tag_that_would_run_a_command_runs_none(tmp_path: Path) -> None:
    call = f"!!python/object/apply:os.system ['touch {tmp_path}/owned']"
    assert problems(f"notes:\n  x: {call}\n")[0].startswith("r.yaml:2: tags are not accepted")
    assert not (tmp_path / "owned").exists()


def test_deep_nesting_is_refused_without_exhausting_the_stack() -> None:
    assert "nesting may be 24 deep" in problems("notes: " + "[" * 5000)[0]


def test_a_merge_key_is_an_unknown_key() -> None:
    assert "unknown key '<<'" in problems("<<: {rate: 3}\n")[0]


def test_norway_is_a_key_like_any_other() -> None:
    assert parse_config("notes:\n  no: 1\n  on: 2\n", Recipe).notes == {"no": 1, "on": 2}


def test_a_date_stays_the_text_it_was() -> None:
    assert parse_config("notes: {day: 2026-11-20}\n", Recipe).notes == {"day": "2026-11-20"}


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
def test_numbers_that_are_not_finite_are_refused(number: str) -> None:
    assert "'rate' should be a finite number" in problems(f"rate: {number}\n")[0]


def test_an_absurd_integer_is_a_problem_and_not_a_crash() -> None:
    assert "this is no int" in problems("rate: " + "9" * 5000 + "\n")[0]


def test_a_long_value_is_shortened_in_the_message() -> None:
    assert len(problems("rate: " + "x" * 5000 + "\n")[0]) < 200


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_text("a: b\n" * MAX_BYTES, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"may have {MAX_BYTES} bytes"):
        load_config(file, Recipe)


def test_a_large_file_cut_inside_a_character_is_still_called_large(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_text("x" + "é" * MAX_BYTES, encoding="utf-8")
    with pytest.raises(ConfigError, match="may have"):
        load_config(file, Recipe)


def test_bytes_that_are_no_utf8_name_their_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"title: x\nrate: \xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml:2: this is not UTF-8"):
        load_config(file, Recipe)


def test_control_characters_are_refused_with_their_line() -> None:
    assert problems("title: x\nrate: \x07\n")[0].startswith("r.yaml:2: a control character")


@pytest.mark.parametrize("path", ["", "missing.yaml"])
def test_a_path_that_is_no_file_is_a_usage_error(path: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        load_config(tmp_path / path, Recipe)

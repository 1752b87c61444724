"""Files of items are read by their endings; whatever is not what its ending says is a data error."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from waterbed.harness.errors import DataError, UsageError
from waterbed.suites.item_files import find_files, read_items, text_of


def test_all_three_forms_give_the_same_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "a.jsonl").write_text('{"q": "é", "a": "1"}\n\n{"q": "y\\nz", "a": "2"}\n')
    (tmp_path / "a.csv").write_text('\ufeffq,a\né,1\n"y\nz",2\n', encoding="utf-8")
    rows = [{"q": "é", "a": "1"}, {"q": "y\nz", "a": "2"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for ending in ("jsonl", "csv", "parquet"):
        assert list(read_items(tmp_path / f"a.{ending}")) == rows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"q\n\xff\xfe\n"),
        ("a.parquet", b"PAR1 not really PAR1"),
        ("a.parquet", b""),
        ("a.jsonl", b"[1]\n"),
        ("a.jsonl", b'{"q": ' + b"[" * 200_000),
    ],
)
def test_a_broken_file_is_a_data_error(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        list(read_items(tmp_path / name))


def test_long_fields_are_read_and_the_csv_limit_is_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    (tmp_path / "a.csv").write_text("q\n" + "x" * 1_000_000 + "\n")
    (row,) = read_items(tmp_path / "a.csv")
    assert len(row["q"]) == 1_000_000
    assert csv.field_size_limit() == before


def test_other_endings_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        read_items(tmp_path / "a.csv")
    (tmp_path / "a.pkl").write_bytes(b"")
    with pytest.raises(UsageError, match=r"none of \.jsonl, \.csv, \.parquet"):
        read_items(tmp_path / "a.pkl")


def test_shards_are_found_in_name_order_in_the_folder_or_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
    folder = tmp_path / "mine" / "data"
    folder.mkdir(parents=True)
    for name in ("test-1.parquet", "test-0.parquet", "validation.parquet"):
        (folder / name).touch()
    found = find_files("mine", "test", "it")
    assert [file.name for file in found] == ["test-0.parquet", "test-1.parquet"]
    (tmp_path / "mine" / "test.csv").touch()
    assert [file.name for file in find_files("mine", "test", "it")] == ["test.csv"]
    with pytest.raises(UsageError, match=r"put it there as mine/train\.jsonl or"):
        find_files("mine", "train", "it")


@pytest.mark.parametrize("value", [None, "", "  ", 7, ["x"]])
def test_a_field_without_text_is_named_with_its_place(value: object) -> None:
    with pytest.raises(DataError, match=r"f: row 3 lacks the text 'q'; it has \['None', 'q'\]"):
        text_of({"q": value, None: ["more"]}, "q", "f: row 3")  # type: ignore[dict-item]

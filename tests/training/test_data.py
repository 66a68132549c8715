"""Data as people have it: tables, JSON lines, Parquet, two files of lines; and broken ones."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.errors import InvalidRequestError
from ogam.training import data

ROWS = [{"label": "1", "text": 'a "quoted", line'}, {"label": "0", "text": "서울 😀"}]


def put(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_every_kind_of_file_gives_the_same_rows(tmp_path):
    tsv = "".join(f"{row['label']}\t{row['text']}\n" for row in ROWS)
    lines = "".join(json.dumps({"label": int(r["label"]), "text": r["text"]}) + "\n" for r in ROWS)
    kinds = {
        "a.tsv": "label\ttext\n" + tsv,
        "a.csv": 'label,text\n1,"a ""quoted"", line"\r\n0,서울 😀\r\n',
        "a.jsonl": lines + "\n",
    }
    for name, content in kinds.items():
        assert list(data.rows(put(tmp_path / name, content))) == ROWS, name
    headless = put(tmp_path / "b.tsv", tsv)
    assert list(data.rows(headless, columns=("label", "text"))) == ROWS


def test_parquet_gives_the_same_rows_and_a_damaged_one_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert list(data.rows(tmp_path / "a.parquet")) == ROWS
    with pytest.raises(InvalidRequestError, match="not a Parquet file"):
        list(data.rows(put(tmp_path / "b.parquet", b"PAR1 and no more")))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"", "is empty"),
        ("a.tsv", "label\ttext\n", "holds no rows"),
        ("a.xls", "x", r"no ending that is known.*\.jsonl"),
        ("a.tsv", "label\ttext\n1\n", "line 2, has 1 columns of 2"),
        ("a.csv", b"text\nna\xefve\n", "line 2, is not UTF-8"),
        ("a.tsv", "text\n" + "x" * 1_000_001 + "\n", "line 2, is longer than 1,000,000 bytes"),
        ("a.jsonl", '{"text": "x"}\n{"text": \n', "line 2, is not JSON"),
        ("a.jsonl", '["x"]\n', "line 1, is no JSON object"),
        ("a.jsonl", '{"text": ["x"]}\n', "row 1, holds list where text is needed"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path, name, content, message):
    with pytest.raises(InvalidRequestError, match=message) as caught:
        list(data.rows(put(tmp_path / name, content)))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "no.tsv", tmp_path):
        with pytest.raises(InvalidRequestError, match="There is no file"):
            list(data.rows(path))


def test_a_missing_column_names_those_that_are_there(tmp_path):
    with pytest.raises(InvalidRequestError, match=r"no column 'body'\. It has 'label', 'text'"):
        data.column(ROWS[0], "body", tmp_path / "a.tsv")


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path):
    path = put(tmp_path / "a.tsv", b"\xef\xbb\xbftext\tlabel\nx\t1\n")
    assert list(data.rows(path)) == [{"text": "x", "label": "1"}]


def test_a_long_field_under_the_limit_is_read(tmp_path):
    text = "x" * 900_000
    assert list(data.rows(put(tmp_path / "a.csv", f"text\n{text}\n"))) == [{"text": text}]


def test_two_files_of_lines_are_paired_and_blank_sides_left_out(tmp_path):
    left = put(tmp_path / "a.en", "one\n\nthree\nfour\n")
    right = put(tmp_path / "a.de", "eins\nzwei\n \nvier\n")
    assert list(data.parallel(left, right, "de")) == [
        ("one", "eins", "de"),
        ("four", "vier", "de"),
    ]


@pytest.mark.parametrize(("left", "right"), [("a\nb\n", "x\n"), ("a\n", "x\ny\n")])
def test_files_of_different_length_do_not_belong_together(tmp_path, left, right):
    one, other = put(tmp_path / "one", left), put(tmp_path / "other", right)
    with pytest.raises(InvalidRequestError, match="ends"):
        list(data.parallel(one, other))


_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)


@given(st.lists(st.tuples(_TEXT, _TEXT), min_size=1, max_size=8))
def test_a_table_gives_back_what_was_written(tmp_path_factory, table):
    # Without control characters; a line of one blank field would be no row.
    path = tmp_path_factory.mktemp("data") / "a.tsv"
    put(path, "a\tb\n" + "".join(f"{a}\t{b}\n" for a, b in table))
    assert [(row["a"], row["b"]) for row in data.rows(path)] == table

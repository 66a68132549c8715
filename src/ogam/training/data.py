"""Training data from files people have: TSV, CSV, JSONL, Parquet, or two files of lines.

Rows are dicts of text; a row that cannot be used is an error that names the file and the
line. Knows no tokenizer and no model.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ogam.errors import InvalidRequestError, MissingExtraError
from ogam.extras import install_line
from ogam.training import processes

# A longer line is no example but a file of another kind; 1 MB is some 150,000 words.
LONGEST_LINE = 1_000_000
_TABLES = {".tsv": "\t", ".csv": ",", ".txt": "\t"}


class Pair(NamedTuple):
    """A source text, its target, and the target's language where the data has several."""

    source: str
    target: str
    language: str = ""


def rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, str]]:
    """The rows of a file as dicts of text.

    TSV and CSV have a heading line unless ``columns`` names them. Raises InvalidRequestError
    for a missing or empty file, a missing column, a line over 1 MB, or text that is not UTF-8.
    """
    kind = path.suffix.lower()
    _check_file(path)
    if kind == ".parquet":
        found: Iterator[Mapping[str, Any]] = _parquet(path)
    elif kind in (".jsonl", ".ndjson", ".json"):
        found = _jsonl(path)
    elif kind in _TABLES:
        found = _table(path, _TABLES[kind], columns)
    else:
        raise InvalidRequestError(
            f"{path} has no ending that is known.",
            hint=f"Endings: {' '.join([*_TABLES, '.jsonl', '.parquet'])}.",
        )
    empty = True
    for number, row in enumerate(found, 1):
        empty = False
        yield {name: _text(value, path, number) for name, value in row.items()}
    if empty:
        raise InvalidRequestError(f"{path} holds no rows.", hint="Is it the right file?")


def column(row: Mapping[str, str], name: str, path: Path) -> str:
    """One column of a row; the error names the columns that there are."""
    try:
        return row[name]
    except KeyError:
        raise InvalidRequestError(
            f"{path} has no column {name!r}.", hint=f"It has {', '.join(map(repr, row))}."
        ) from None


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file without their ends; blank ones too."""
    _check_file(path)
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), 1):
            if len(line) > LONGEST_LINE:
                raise _too_long(path, number)
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise InvalidRequestError(
                    f"{path}, line {number}, is not UTF-8 text.",
                    hint="Convert it first: iconv -f ENCODING -t UTF-8.",
                ) from None


def parallel(source: Path, target: Path, language: str = "") -> Iterator[Pair]:
    """Two files of lines that belong together; pairs with an empty side are left out."""
    left, right = lines(source), lines(target)
    for number, text in enumerate(left, 1):
        other = next(right, None)
        if other is None:
            raise InvalidRequestError(
                f"{target} ends at line {number - 1}, before {source}.",
                hint="Line n of one is the translation of line n of the other.",
            )
        if text.strip() and other.strip():
            yield Pair(text, other, language)
    if next(right, None) is not None:
        raise InvalidRequestError(
            f"{source} ends before {target}.",
            hint="Line n of one is the translation of line n of the other.",
        )


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise InvalidRequestError(f"There is no file {str(path)!r}.", hint="Is the path right?")
    if path.stat().st_size == 0:
        raise InvalidRequestError(f"{path} is empty.", hint="Give a file with examples in it.")


def _table(path: Path, mark: str, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    # A field may not be longer than a line may; the module's own limit is 128 kB.
    csv.field_size_limit(LONGEST_LINE)
    # In TSV a quotation mark is a character like any other.
    quoting = csv.QUOTE_NONE if mark == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(lines(path), delimiter=mark, quoting=quoting)
    names = list(columns) if columns is not None else None
    try:
        for row in reader:
            if names is None:
                names = row
                continue
            if not row:
                continue
            if len(row) < len(names):
                raise InvalidRequestError(
                    f"{path}, line {reader.line_num}, has {len(row)} columns of {len(names)}.",
                    hint=f"The columns are {', '.join(map(repr, names))}.",
                )
            yield dict(zip(names, row, strict=False))
    except csv.Error as error:
        raise InvalidRequestError(f"{path}, line {reader.line_num}: {error}.") from None


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidRequestError(
                f"{path}, line {number}, is not JSON: {error}.", hint="One object a line."
            ) from None
        if not isinstance(row, dict):
            raise InvalidRequestError(
                f"{path}, line {number}, is no JSON object.", hint="One object a line."
            )
        yield row


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError(
            "The package 'pyarrow' is not installed.", hint=f"Run: {install_line('parquet')}"
        ) from None
    arrow: Any = pyarrow
    library: Any = parquet
    try:
        file = library.ParquetFile(path)
        for batch in file.iter_batches():
            yield from batch.to_pylist()
    except arrow.ArrowInvalid as error:
        raise InvalidRequestError(f"{path} is not a Parquet file: {error}.") from None


def _text(value: Any, path: Path, number: int) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    raise InvalidRequestError(
        f"{path}, row {number}, holds {type(value).__name__} where text is needed."
    )


def _too_long(path: Path, number: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"{path}, line {number}, is longer than {LONGEST_LINE:,} bytes.",
        hint="Is it a text file with an example a line?",
    )


def warn(message: str) -> None:
    """Say something about the data that is no error, on standard error; of several processes
    the first says it.
    """
    if not processes.first():
        return
    sys.stderr.write(f"ogam: {' '.join(message.split())}\n")

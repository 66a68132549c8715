"""The text of a Word2Vec run: cut into words once, one sentence a line, in the run's folder.

From such files gensim reads in threads of C++, without Python. A file is a part of the text
of some 16 MB: between two parts a run can be saved and stopped. The words are counted on the
same walk through the text. Knows no model.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from ogam.errors import InvalidRequestError, OutputError
from ogam.media import files
from ogam.training import data
from ogam.training._progress import bar

# gensim cuts a sentence after so many words, without a word about it; here it is cut in two.
_LONGEST = 10_000
_WORD = re.compile(r"\w+(?:['’]\w+)*")
# 3 million words: some 8 s of CBOW on one core, and few enough for gensim's loss, a sum in
# float32 whose steps are 1 from 16.7 million on.
_PART = 16_000_000
_ABOUT = "about.json"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the prepared text, and how many sentences and words are in it."""

    file: str
    sentences: int
    words: int


class Corpus(msgspec.Struct, frozen=True, kw_only=True):
    """The prepared text: its parts, and how often each word that is not too rare stands in it."""

    parts: tuple[Part, ...]
    counts: dict[str, int]


class Sentences:
    """The sentences of text files, lists of words, read anew each time they are walked through."""

    def __init__(self, paths: Sequence[Path], text: str) -> None:
        self._paths, self._text = paths, text

    def __iter__(self) -> Iterator[list[str]]:
        for path in self._paths:
            for unit in _units(data.lines(path), self._text):
                words = unit.split() if self._text == "words" else _WORD.findall(unit.lower())
                for start in range(0, len(words), _LONGEST):
                    yield words[start : start + _LONGEST]


def _units(lines: Iterable[str], text: str) -> Iterator[str]:
    if text != "paragraphs":
        yield from lines
        return
    held: list[str] = []
    for line in lines:
        if line.strip():
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


def prepare(folder: Path, sources: Sequence[Path], text: str, min_count: int) -> Corpus:
    """The corpus in ``folder``, made from ``sources`` unless it is there already.

    Its description is written last, so a folder without one is half of something and made
    again. Raises InvalidRequestError for text without words or with none that stands
    ``min_count`` times, OutputError where the folder cannot be written.
    """
    about = folder / _ABOUT
    if about.exists():
        return msgspec.json.decode(about.read_bytes(), type=Corpus)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        corpus = _write(folder, sources, text, min_count)
        files.write(about, msgspec.json.encode(corpus))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise OutputError(
            f"The prepared text cannot be written to {folder}: {error.strerror or error}.",
            hint="A run needs as much free space as its text.",
        ) from None
    return corpus


def _write(folder: Path, sources: Sequence[Path], text: str, min_count: int) -> Corpus:
    counts: Counter[str] = Counter()
    parts: list[Part] = []
    size = sum(path.stat().st_size for path in sources)
    done = 0
    sentences = iter(Sentences(sources, text))
    more = True
    with bar(size, 0) as report:
        while more:
            name = f"part-{len(parts):05d}.txt"
            lines = words = length = 0
            with (folder / name).open("w", encoding="utf-8", newline="\n") as file:
                while more := (one := next(sentences, None)) is not None:
                    line = " ".join(one)
                    file.write(line + "\n")
                    counts.update(one)
                    lines += 1
                    words += len(one)
                    length += len(line) + 1
                    if lines % 10_000 == 0:
                        report(min(size, done + length), "reading")
                    if length >= _PART:
                        break
            done += length
            if lines:
                parts.append(Part(file=name, sentences=lines, words=words))
    if not counts:
        raise InvalidRequestError("The text holds no words.", hint="Is it the right file?")
    kept = {word: count for word, count in counts.items() if count >= min_count}
    if not kept:
        raise InvalidRequestError(
            f"No word stands {min_count} times in the text.",
            hint="Give more text, or a lower --min-count.",
        )
    return Corpus(parts=tuple(parts), counts=kept)

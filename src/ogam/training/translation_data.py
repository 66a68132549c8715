"""What a translation model reads: pairs from files, tokens from texts, batches from tokens.

Knows no model. The order of batches is a pure function of the seed and the epoch, so that a
run which was stopped sees the same batches again.
"""

# sentencepiece is not typed.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from ogam.errors import ConfigurationError, InvalidRequestError
from ogam.extras import needs
from ogam.media import files
from ogam.training import data
from ogam.training import translation_pieces as pieces
from ogam.training.data import Pair
from ogam.training.transformer import END, SPECIALS, UNKNOWN

Tokenization = Literal["sentencepiece", "space"]
_MARK = re.compile(r"<(pad|s|/s|unk|2[A-Za-z0-9-]+)>")
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
# Characters that stand for something to carry over as it is, such as a number: never cut.
_WHOLE = re.compile("[\ue000-\ue00f]")


class Languages(NamedTuple):
    """Which languages texts are in: the answer for every row, or empty where a column tells."""

    source: str
    target: str


class Columns(NamedTuple):
    """The names of the columns in a table; the languages' need not be there."""

    source: str = "source"
    target: str = "target"
    source_language: str = "source_language"
    target_language: str = "language"


class Example(NamedTuple):
    """One pair as token numbers; the source ends with END, the target has no marks."""

    source: list[int]
    target: list[int]


class Text(NamedTuple):
    """One pair as text, with both languages."""

    source: str
    target: str
    languages: Languages


def read(paths: Sequence[Path], columns: Columns, languages: Languages) -> list[Text]:
    """The pairs of one table, or of two files of lines; those with an empty side are left out.

    A language that is not given comes from its column, or from the ending of a file of lines
    (train.en, train.de). Raises InvalidRequestError where none of them tells.
    """
    if len(paths) == 1:
        return _from_table(paths[0], columns, languages)
    if len(paths) != 2:
        raise InvalidRequestError(
            f"{len(paths)} files of data were given.",
            hint="Give one table, or two files of lines: source and target.",
        )
    known = Languages(*(one or _ending(path) for one, path in zip(languages, paths, strict=True)))
    _check_languages(known)
    pairs = data.parallel(paths[0], paths[1])
    return _not_empty([Text(one.source, one.target, known) for one in pairs], paths[0])


def _from_table(path: Path, columns: Columns, languages: Languages) -> list[Text]:
    found: list[Text] = []
    for row in data.rows(path):
        pair = Pair(*(data.column(row, name, path) for name in columns[:2]))
        known = Languages(
            languages.source or row.get(columns.source_language, ""),
            languages.target or row.get(columns.target_language, ""),
        )
        _check_languages(known)
        if pair.source.strip() and pair.target.strip():
            found.append(Text(pair.source, pair.target, known))
    return _not_empty(found, path)


def _not_empty(found: list[Text], path: Path) -> list[Text]:
    if not found:
        raise InvalidRequestError(
            f"{path} holds no pair with two sides.", hint="Give a file with examples in it."
        )
    return found


def _ending(path: Path) -> str:
    tag = path.suffix[1:]
    return tag if tag != "txt" and _TAG.fullmatch(tag) else ""


def _check_languages(languages: Languages) -> None:
    for side, tag in zip(("source", "target"), languages, strict=True):
        if not tag:
            raise InvalidRequestError(
                f"Nothing says which language the {side} texts are in.",
                hint=f"Say it by --{side}-language, such as --{side}-language en.",
            )
        if not _TAG.fullmatch(tag):
            raise InvalidRequestError(
                f"{tag!r} is not a language tag.", hint="Tags look like en, de, pt-BR."
            )


def target_token(language: str) -> str:
    """The token that asks for a target language, such as <2de>."""
    return f"<2{language}>"


class Tokens(Protocol):
    """How text becomes tokens and comes back. ``file`` is the tokenizer's own, if it has one."""

    kind: Tokenization
    vocabulary: list[str]
    file: Path | None

    def cut(self, text: str) -> list[str]:
        """Text to tokens, without marks."""
        ...

    def join(self, tokens: Sequence[str]) -> str:
        """Tokens to text."""
        ...


class SentencePieceTokens:
    """A SentencePiece model shared by both languages."""

    kind: Tokenization = "sentencepiece"

    def __init__(self, file: Path) -> None:
        with needs("train"):
            import sentencepiece
        library: Any = sentencepiece
        try:
            self._model: Any = library.SentencePieceProcessor(model_file=str(file))
        except (OSError, RuntimeError):
            raise ConfigurationError(
                f"The tokenizer {file} cannot be read.", hint="Start a new run."
            ) from None
        self.file: Path | None = file
        count: int = self._model.get_piece_size()
        self.vocabulary: list[str] = [self._model.id_to_piece(one) for one in range(count)]

    def cut(self, text: str) -> list[str]:
        """Text to pieces."""
        # By number: what it does not know it gives as it stands, and that may read "<2de>".
        return [self.vocabulary[one] for one in self._model.encode(text, out_type=int)]

    def join(self, tokens: Sequence[str]) -> str:
        """Pieces to text."""
        return self._model.decode(list(tokens))


class SpaceTokens:
    """Text whose tokens stand apart already, BPE's "@@ " marks among them."""

    kind: Tokenization = "space"
    file: Path | None = None

    def __init__(self, vocabulary: list[str]) -> None:
        self.vocabulary = vocabulary

    def cut(self, text: str) -> list[str]:
        """Text to words; a word that reads like a mark is unknown."""
        return [SPECIALS[UNKNOWN] if _MARK.fullmatch(one) else one for one in text.split()]

    def join(self, tokens: Sequence[str]) -> str:
        """Words to text, parts of words put together."""
        return re.sub(r"@@( |$)", "", " ".join(tokens))


def make_tokens(
    folder: Path,
    kind: Tokenization,
    texts: Sequence[Text],
    extra: Sequence[str],
    size: int,
    *,
    start: Path | None = None,
) -> Tokens:
    """The run's tokens: trained on its texts the first time, read from ``folder`` after that.

    ``extra`` are tokens no text can hold, such as <2de>; ``size`` is the vocabulary's, all
    counted; with "space" the rarest words beyond it are unknown (0: none is). SentencePiece
    never cuts U+E000 to U+E00F; ``start`` is the run whose model it adds to.
    """
    sides = [side for text in texts for side in text[:2]]
    if kind == "sentencepiece":
        file = folder / "spm.model"
        if not file.exists():
            whole = sorted({found for side in sides for found in _WHOLE.findall(side)})
            if start is not None:
                model = pieces.grown(pieces.of(start), sides, extra, whole, size)
            else:
                model = pieces.learned(sides, extra, whole, size)
            files.write(file, model)
        return SentencePieceTokens(file)
    file = folder / "vocabulary.json"
    if not file.exists():
        counts = Counter(word for side in sides for word in side.split())
        for one in (*SPECIALS, *extra):
            counts.pop(one, None)
        words = sorted(counts, key=lambda word: (-counts[word], word))
        whole = [*SPECIALS, *extra, *words]
        files.write(file, json.dumps(whole[: size or None], ensure_ascii=False).encode())
    return SpaceTokens(json.loads(file.read_bytes()))


def numbers(tokens: Tokens, texts: Sequence[Text], *, tagged: bool) -> list[Example]:
    """Texts as token numbers, with the target's token before the source where ``tagged``."""
    places = {token: number for number, token in enumerate(tokens.vocabulary)}

    def ids(text: str) -> list[int]:
        return [places.get(token, UNKNOWN) for token in tokens.cut(text)]

    found: list[Example] = []
    for text in texts:
        head = [places[target_token(text.languages.target)]] if tagged else []
        found.append(Example([*head, *ids(text.source), END], ids(text.target)))
    return found


def batches(
    examples: Sequence[Example], limit: int, *, seed: int, epoch: int | None
) -> list[list[int]]:
    """Indexes in batches of nearly equal length, at most ``limit`` tokens of padded source or
    target in each. ``epoch`` None: in order of length, as for validation.
    """
    order = list(range(len(examples)))
    draw = random.Random(f"{seed}/{epoch}")  # noqa: S311
    if epoch is not None:
        draw.shuffle(order)
    # Sorting is stable: what has the same lengths stays in its random order.
    order.sort(key=lambda index: (len(examples[index].target), len(examples[index].source)))
    found: list[list[int]] = [[]]
    longest = 0
    for index in order:
        length = max(len(examples[index].source), len(examples[index].target) + 1)
        longest = max(longest, length)
        if found[-1] and longest * (len(found[-1]) + 1) > limit:
            found.append([])
            longest = length
        found[-1].append(index)
    if epoch is not None:
        draw.shuffle(found)
    return found

"""A translation model in memory: texts to sentences, to tokens, through CTranslate2, and back."""

from __future__ import annotations

import heapq
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from ogam.capabilities.base import checkpoint
from ogam.engines._shared import cores
from ogam.engines.ctranslate2_translator import marks, sentences
from ogam.errors import ConfigurationError
from ogam.extras import needs

BEAM = 4
# Sentences between two looks at whether the caller is still there.
_TOGETHER = 64
# Tokens of one batch, padding included: what fits a core's cache beside the weights.
_BATCH_TOKENS = 1024
_MOST_THREADS = 4
_UNKNOWN = "<unk>"
# No text may speak to the model in its own marks.
_MARK = re.compile(r"<(pad|s|/s|unk|2[A-Za-z0-9-]+)>")


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest says to this engine.

    Languages are pairs, or, in ``between``, any two of a list. Tokens name them to the model:
    ``target_tokens`` before the source (also for manners, such as de-x-formal), or
    ``source_tokens`` there and ``target_prefixes`` before the translation. ``source_pieces``
    and ``target_pieces`` are the tokenizers' files.
    """

    languages: tuple[tuple[str, str], ...] = ()
    between: tuple[str, ...] = ()
    target_tokens: dict[str, str] = {}
    source_tokens: dict[str, str] = {}
    target_prefixes: dict[str, str] = {}
    tokens: Literal["sentencepiece", "space"] = "sentencepiece"
    source_pieces: str = "spm.model"
    target_pieces: str = "spm.model"
    max_tokens: int = 256

    def targets(self) -> list[str]:
        """The languages that it translates into."""
        return [*self.between, *(one for _, one in self.languages)]

    def with_manner(self, manner: str) -> list[str]:
        """The languages that it has a manner of, such as correct or formal."""
        ending = f"-x-{manner}"
        return sorted(
            one.removesuffix(ending) for one in self.target_tokens if one.endswith(ending)
        )

    def sources(self, target: str) -> list[str]:
        """The languages that can be turned into ``target``, in the manifest's order."""
        any_two = [one for one in self.between if one != target] if target in self.between else []
        return any_two + [source for source, one in self.languages if one == target]

    def told(self) -> str:
        """The languages as a message names them."""
        pairs = ["-".join(pair) for pair in self.languages]
        return ", ".join(pairs + ([f"any two of {' '.join(self.between)}"] if self.between else []))


class _Sentence(NamedTuple):
    """A sentence to translate: its text's number, its place there, what its marks stand for."""

    text: int
    piece: int
    tokens: list[str]
    kept: list[str]


class _Way(NamedTuple):
    """A way to translate something, and its score: the mean logarithm of a token's probability."""

    text: str
    score: float


class Model:
    """The loaded model: CTranslate2's translator, which has threads of its own, and the pieces."""

    def __init__(self, folder: Path) -> None:
        with needs("local"):
            import ctranslate2
            import sentencepiece
        library: Any = ctranslate2
        pieces: Any = sentencepiece
        try:
            self.about = msgspec.json.decode((folder / "model.json").read_bytes(), type=About)
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigurationError(
                f"{folder} is not a translation model's folder: {error}.",
                hint="A run of 'ogam train transformer' makes one in RUN/model.",
            ) from None
        if not self.about.targets():
            raise ConfigurationError(f"{folder}/model.json names no languages.")
        library.set_log_level(50)  # what goes wrong comes as an exception
        threads = min(_MOST_THREADS, cores())
        try:
            # Several workers of one thread each, for callers and batches at once.
            self._translator: Any = library.Translator(
                os.fspath(folder), device="cpu", inter_threads=threads, intra_threads=1
            )
            self._pieces: Any = None
            self._joiner: Any = None
            if self.about.tokens == "sentencepiece":
                names = (self.about.source_pieces, self.about.target_pieces)
                self._pieces, self._joiner = (
                    pieces.SentencePieceProcessor(model_file=str(folder / name)) for name in names
                )
            self._marks = self._known(marks.MARKS)
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"The model in {folder} cannot be loaded: {error}.",
                hint="Is the folder whole? Compare it with the hashes in its model.json.",
            ) from None

    def translate(
        self,
        texts: Sequence[str],
        sources: Sequence[str],
        target: str,
        token: str = "",
        ways: int = 1,
    ) -> list[list[str]]:
        """Each text's best translations, its white space kept: ``ways`` of them, or fewer.

        ``sources``: each text's language. ``token`` asks for the target where the model knows
        several, or for a manner of it.
        """
        plain = self.about.tokens == "space"
        whole = [
            [
                part
                for piece in sentences.split(text, lines_only=plain)
                for part in self._fitting(piece)
            ]
            for text in texts
        ]
        todo: list[_Sentence] = []
        for number, pieces in enumerate(whole):
            head = token or self.about.source_tokens.get(sources[number], "")
            for place, piece in enumerate(pieces):
                if piece.text:
                    text, kept = marks.masked(piece.text, len(self._marks))
                    todo.append(_Sentence(number, place, self._cut(text, head), kept))
        made: dict[tuple[int, int], list[_Way]] = {}
        # Marked sentences apart: of their translations the whole beam is wanted, and the search
        # for that is another, whose best may differ.
        for apart in (False, True):
            again: list[_Sentence] = []
            for one, found in self._each([s for s in todo if bool(s.kept) == apart], target, ways):
                made[one.text, one.piece] = found
                if not found:  # the marks were lost
                    head = token or self.about.source_tokens.get(sources[one.text], "")
                    tokens = self._cut(whole[one.text][one.piece].text, head)
                    again.append(one._replace(tokens=tokens, kept=[]))
            for one, found in self._each(again, target, ways):
                made[one.text, one.piece] = found
        return [
            _joined(
                [
                    [
                        _Way(way.text + piece.space, way.score)
                        for way in made.get((number, place), [_Way("", 0.0)])
                    ]
                    for place, piece in enumerate(pieces)
                ],
                ways,
            )
            for number, pieces in enumerate(whole)
        ]

    def _each(
        self, todo: list[_Sentence], target: str, ways: int
    ) -> Iterator[tuple[_Sentence, list[_Way]]]:
        """The sentences with their translations."""
        # Sentences of like length together: a batch is as slow as its longest.
        todo = sorted(todo, key=lambda one: len(one.tokens))
        for start in range(0, len(todo), _TOGETHER):
            checkpoint()
            part = todo[start : start + _TOGETHER]
            yield from zip(part, self._run(part, target, ways), strict=True)

    def _run(self, todo: list[_Sentence], target: str, ways: int) -> list[list[_Way]]:
        """The ways to translate each sentence, the best first, no two that read the same.

        None for a sentence whose marks are in no translation as they should be.
        """
        beam = max(BEAM, ways)
        # The whole beam: of its ways some read the same when they are joined, or lack a mark.
        several = ways > 1 or bool(todo[0].kept)
        prefix = [one] if (one := self.about.target_prefixes.get(target)) else []
        longest = max(len(one.tokens) for one in todo)
        results = self._translator.translate_batch(
            [one.tokens for one in todo],
            target_prefix=[prefix] * len(todo) if prefix else None,
            beam_size=beam,
            num_hypotheses=beam if several else 1,
            return_scores=several,
            length_penalty=1.0,
            max_batch_size=_BATCH_TOKENS,
            batch_type="tokens",
            # No language pair needs three times the tokens; a model that goes round in circles
            # does. The positions end at twice the longest text of training.
            suppress_sequences=None if todo[0].kept else [[one] for one in self._marks] or None,
            max_decoding_length=min(3 * longest + 10, 2 * self.about.max_tokens),
            disable_unk=True,
        )
        found: list[list[_Way]] = []
        for sentence, one in zip(todo, results, strict=True):
            best: dict[str, float] = {}
            for made, score in zip(one.hypotheses, one.scores or [0.0], strict=True):
                text = marks.filled(self._join(made[len(prefix) :]), sentence.kept)
                if text is not None:
                    best.setdefault(text, score)
            found.append([_Way(*way) for way in best.items()][:ways])
        return found

    def _known(self, texts: Sequence[str]) -> list[str]:
        """Those that are pieces of their own, up to the first that is none."""
        if self._pieces is None:
            return []
        unknown = self._pieces.unk_id()
        return list(
            itertools.takewhile(lambda one: self._joiner.piece_to_id(one) != unknown, texts)
        )

    def _fitting(self, piece: sentences.Piece) -> list[sentences.Piece]:
        if not piece.text:
            return [piece]
        limit = self.about.max_tokens
        *parts, last = sentences.halve(piece.text, lambda text: len(self._cut(text)) <= limit)
        return [*parts, sentences.Piece(last.text, last.space + piece.space)]

    def _cut(self, text: str, head: str = "") -> list[str]:
        """The tokens of a text, ``head`` before them."""
        own = [head] if head else []
        if self._pieces is None:
            return own + [_UNKNOWN if _MARK.fullmatch(one) else one for one in text.split()]
        # By number: what SentencePiece does not know it gives as it stands, and that may read
        # "<2de>" or "</s>".
        model = self._pieces
        return own + [model.id_to_piece(one) for one in model.encode(text, out_type=int)]

    def _join(self, tokens: list[str]) -> str:
        if self._pieces is None:
            return re.sub(r"@@( |$)", "", " ".join(tokens))
        # A piece of the source's language, which a shared vocabulary lets through, stays as it is.
        return self._joiner.decode(tokens).replace("▁", " ").lstrip()


def _joined(pieces: Sequence[Sequence[_Way]], ways: int) -> list[str]:
    """The ``ways`` best texts that the pieces' ways make, by the sum of their scores.

    Exact, for the pieces are chosen independently: what is not among the best beginnings is
    in none of the best texts.
    """
    # A beginning is linked to the one before: texts of many pieces are not copied at each.
    best: list[tuple[float, Any]] = [(0.0, None)]
    for piece in pieces:
        longer = [
            (score + way.score, (before, way.text)) for score, before in best for way in piece
        ]
        best = heapq.nlargest(ways, longer, key=lambda one: one[0])
    texts: list[str] = []
    for _, last in best:
        parts: list[str] = []
        link = last
        while link is not None:
            link, part = link
            parts.append(part)
        texts.append("".join(reversed(parts)))
    return list(dict.fromkeys(texts))

"""translate, with an encoder-decoder model in CTranslate2's format.

A model is a folder: ``model.json`` (the manifest, with ``languages``, ``target_tokens``,
``tokens`` and ``max_tokens`` beside the fields all have), CTranslate2's files, and ``spm.model``
where ``tokens`` is "sentencepiece". With "space" the text must come as the model was trained:
lower case, words and marks apart, parts of words marked by "@@".

Texts are cut into sentences, for that is what such models are trained on, translated in
batches, and put together with their own white space. A glossary is kept by checking: the
model is given ways to use the term, and where none works that is an error, not silence.
"""

from __future__ import annotations

import heapq
import os
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec

from ogam.capabilities import languages
from ogam.capabilities.base import Capability, ModelRef, Units, checkpoint
from ogam.capabilities.translation import TranslateRequest, TranslateResult, Translation
from ogam.engines._shared import cores
from ogam.engines.ctranslate2_translator import sentences
from ogam.errors import (
    ConfigurationError,
    NotConfiguredError,
    UnknownLanguageError,
    UnsupportedOptionError,
)
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


class CTranslate2TranslatorEngine:
    """Serves the model in ``ref.folder``. Safe to use from many threads at once."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"translate"})
    requires: ClassVar[tuple[str, ...]] = ("ctranslate2", "sentencepiece")
    extra: ClassVar[str] = "local"
    joins: ClassVar[bool] = True

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._lock = threading.Lock()
        self._model: _Model | None = None

    def translate(self, request: TranslateRequest) -> TranslateResult:
        """Translations in the order of the texts; ``units.characters`` counts the texts.

        Without ``source`` each text's language is guessed among those that the model turns
        into ``target``. ``context`` is not used. ``alternatives`` are those of the beam, which
        more than 4 make wider; one that cannot take the glossary is left out. Raises
        UnknownLanguageError for a pair that the model has not, UnsupportedOptionError for
        ``formality`` more or less, and for a glossary whose term the model will not take.
        """
        if request.formality in ("more", "less"):
            raise UnsupportedOptionError(
                f"{self._ref.name} knows no formality.",
                hint=f"Leave it out, or ask for prefer_{request.formality}.",
                param="formality",
            )
        model = self._load()
        source, target = self._pair(model, request)
        sources = (
            [source] * len(request.texts)
            if source is not None
            else [languages.guess(text, model.about.sources(target)) for text in request.texts]
        )
        made = model.translate(request.texts, sources, target, request.alternatives)
        if request.glossary:
            made = [
                self._all_with_terms(model, text, ways, (own, target), request.glossary)
                for text, ways, own in zip(request.texts, made, sources, strict=True)
            ]
        return TranslateResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(characters=sum(map(len, request.texts))),
            translations=tuple(
                Translation(text=best, source=one, alternatives=tuple(others))
                for (best, *others), one in zip(made, sources, strict=True)
            ),
            target=request.target,
        )

    def languages(self) -> tuple[tuple[str, str], ...]:
        """The pairs that the model has: (source, target), as tags."""
        return self._load().about.languages

    def close(self) -> None:
        """Let go of the model."""
        with self._lock:
            self._model = None

    def load(self) -> None:
        """Load the model now."""
        self._load()

    def _load(self) -> _Model:
        with self._lock:
            if self._model is None:
                if self._ref.folder is None:
                    raise NotConfiguredError(
                        f"{self._ref.name!r} names no model.",
                        hint=f"Name a folder with one: {self._ref.engine}/./my-run/model.",
                    )
                self._model = _Model(self._ref.folder)
            return self._model

    def _pair(self, model: _Model, request: TranslateRequest) -> tuple[str | None, str]:
        """The model's own tags for the languages asked for; no source where none was given."""
        hint = f"It has {model.about.told()}."
        target = languages.find(request.target, model.about.targets())
        if target is None:
            raise UnknownLanguageError(
                f"{self._ref.name} does not translate into {request.target!r}.",
                hint=hint,
                param="target",
            )
        if request.source is None:
            return None, target
        source = languages.find(request.source, model.about.sources(target))
        if source is None:
            raise UnknownLanguageError(
                f"{self._ref.name} does not translate {request.source!r} into {target!r}.",
                hint=hint,
                param="source",
            )
        return source, target

    def _all_with_terms(
        self,
        model: _Model,
        text: str,
        ways: Sequence[str],
        pair: tuple[str, str],
        glossary: Sequence[tuple[str, str]],
    ) -> list[str]:
        """As ``_with_terms`` for the best translation, and for those others that it works for."""
        best, *others = ways
        kept = {self._with_terms(model, text, best, pair, glossary): None}
        for one in others:
            with suppress(UnsupportedOptionError):
                kept[self._with_terms(model, text, one, pair, glossary)] = None
        return list(kept)

    def _with_terms(
        self,
        model: _Model,
        text: str,
        made: str,
        pair: tuple[str, str],
        glossary: Sequence[tuple[str, str]],
    ) -> str:
        """The translation with the glossary's terms in it, or an error.

        In turn: the model used the term anyway; what it makes of the term alone stands in the
        translation and is replaced; it copies the term when that stands in the source already.
        """
        kept: list[str] = []
        for term, wanted in glossary:
            if not _has(text, term):
                continue
            kept.append(wanted)
            if _has(made, wanted):
                continue
            source, target = pair
            own = model.translate([term], [source], target)[0][0].strip(" .!?。")
            if _has(made, own, re.IGNORECASE):
                made = _replaced(made, own, wanted)
            else:
                ((made,),) = model.translate([_replaced(text, term, wanted)], [source], target)
            # A later term may have undone an earlier one.
            missing = [one for one in kept if not _has(made, one)]
            if missing:
                raise UnsupportedOptionError(
                    f"{self._ref.name} could not use {missing[0]!r} for {term!r} in this text.",
                    hint="Leave the term out of the glossary, or take a model that keeps one.",
                    param="glossary",
                )
        return made


class _About(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest says to this engine.

    Languages are pairs, or, in ``between``, any two of a list. Tokens name them to the model:
    ``target_tokens`` before the source, or ``source_tokens`` there and ``target_prefixes``
    before the translation. ``source_pieces`` and ``target_pieces`` are the tokenizers' files.
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

    def sources(self, target: str) -> list[str]:
        """The languages that can be turned into ``target``, in the manifest's order."""
        any_two = [one for one in self.between if one != target] if target in self.between else []
        return any_two + [source for source, one in self.languages if one == target]

    def told(self) -> str:
        """The languages as a message names them."""
        pairs = ["-".join(pair) for pair in self.languages]
        return ", ".join(pairs + ([f"any two of {' '.join(self.between)}"] if self.between else []))


class _Place(NamedTuple):
    """Where a sentence belongs: its text and its piece."""

    text: int
    piece: int


class _Way(NamedTuple):
    """A way to translate something, and its score: the mean logarithm of a token's probability."""

    text: str
    score: float


class _Model:
    """The loaded model: CTranslate2's translator, which has threads of its own, and the pieces."""

    def __init__(self, folder: Path) -> None:
        with needs("local"):
            import ctranslate2
            import sentencepiece
        library: Any = ctranslate2
        pieces: Any = sentencepiece
        try:
            self.about = msgspec.json.decode((folder / "model.json").read_bytes(), type=_About)
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
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"The model in {folder} cannot be loaded: {error}.",
                hint="Is the folder whole? Compare it with the hashes in its model.json.",
            ) from None

    def translate(
        self, texts: Sequence[str], sources: Sequence[str], target: str, ways: int = 1
    ) -> list[list[str]]:
        """Each text's best translations, its white space kept: ``ways`` of them, or fewer.

        ``sources``: each text's language.
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
        todo = [
            (_Place(number, place), self._cut(piece.text))
            for number, pieces in enumerate(whole)
            for place, piece in enumerate(pieces)
            if piece.text
        ]
        # Sentences of like length together: a batch is as slow as its longest.
        todo.sort(key=lambda one: len(one[1]))
        made: dict[_Place, list[_Way]] = {}
        head = self.about.target_tokens.get(target)
        for start in range(0, len(todo), _TOGETHER):
            checkpoint()
            part = todo[start : start + _TOGETHER]
            given: list[list[str]] = []
            for place, tokens in part:
                own = head or self.about.source_tokens.get(sources[place.text])
                given.append([own, *tokens] if own else tokens)
            for (place, _), found in zip(part, self._run(given, target, ways), strict=True):
                made[place] = found
        return [
            _joined(
                [
                    [
                        _Way(way.text + piece.space, way.score)
                        for way in made.get(_Place(number, place), [_Way("", 0.0)])
                    ]
                    for place, piece in enumerate(pieces)
                ],
                ways,
            )
            for number, pieces in enumerate(whole)
        ]

    def _run(self, tokens: list[list[str]], target: str, ways: int) -> list[list[_Way]]:
        """The ways to translate each sentence, the best first, no two that read the same."""
        beam = max(BEAM, ways)
        prefix = [one] if (one := self.about.target_prefixes.get(target)) else []
        longest = max(map(len, tokens))
        results = self._translator.translate_batch(
            tokens,
            target_prefix=[prefix] * len(tokens) if prefix else None,
            beam_size=beam,
            # The whole beam: of its ways some read the same when they are joined.
            num_hypotheses=beam if ways > 1 else 1,
            return_scores=ways > 1,
            length_penalty=1.0,
            max_batch_size=_BATCH_TOKENS,
            batch_type="tokens",
            # No language pair needs three times the tokens; a model that goes round in circles
            # does. The positions end at twice the longest text of training.
            max_decoding_length=min(3 * longest + 10, 2 * self.about.max_tokens),
            disable_unk=True,
        )
        found: list[list[_Way]] = []
        for one in results:
            best: dict[str, float] = {}
            for made, score in zip(one.hypotheses, one.scores or [0.0], strict=True):
                best.setdefault(self._join(made[len(prefix) :]), score)
            found.append([_Way(*way) for way in best.items()][:ways])
        return found

    def _fitting(self, piece: sentences.Piece) -> list[sentences.Piece]:
        if not piece.text:
            return [piece]
        limit = self.about.max_tokens
        *parts, last = sentences.halve(piece.text, lambda text: len(self._cut(text)) <= limit)
        return [*parts, sentences.Piece(last.text, last.space + piece.space)]

    def _cut(self, text: str) -> list[str]:
        if self._pieces is None:
            return [_UNKNOWN if _MARK.fullmatch(one) else one for one in text.split()]
        # By number: what SentencePiece does not know it gives as it stands, and that may read
        # "<2de>" or "</s>".
        model = self._pieces
        return [model.id_to_piece(one) for one in model.encode(text, out_type=int)]

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


def _word(term: str) -> str:
    """A pattern for ``term`` as whole words, where its ends are letters at all."""
    return rf"(?<!\w){re.escape(term)}(?!\w)"


def _has(text: str, term: str, flags: int = 0) -> bool:
    return bool(term) and re.search(_word(term), text, flags) is not None


def _replaced(text: str, term: str, wanted: str) -> str:
    return re.sub(_word(term), lambda _: wanted, text, flags=re.IGNORECASE)

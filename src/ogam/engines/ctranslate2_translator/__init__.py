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

import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec

from ogam.capabilities.base import Capability, ModelRef, Units, checkpoint
from ogam.capabilities.translation import TranslateRequest, TranslateResult, Translation
from ogam.engines._shared import cores
from ogam.engines.ctranslate2_translator import languages, sentences
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

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._lock = threading.Lock()
        self._model: _Model | None = None

    def translate(self, request: TranslateRequest) -> TranslateResult:
        """Translations in the order of the texts; ``units.characters`` counts the texts.

        Without ``source`` each text's language is guessed among those that the model turns
        into ``target``. ``context`` is not used. Raises UnknownLanguageError for a pair that
        the model has not, UnsupportedOptionError for ``formality`` more or less, and for a
        glossary whose term the model will not take.
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
            else [languages.guess(text, model.sources(target)) for text in request.texts]
        )
        made = model.translate(request.texts, target)
        if request.glossary:
            made = [
                self._with_terms(model, text, one, target, request.glossary)
                for text, one in zip(request.texts, made, strict=True)
            ]
        return TranslateResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(characters=sum(map(len, request.texts))),
            translations=tuple(
                Translation(text=text, source=one) for text, one in zip(made, sources, strict=True)
            ),
            target=request.target,
        )

    def close(self) -> None:
        """Let go of the model."""
        with self._lock:
            self._model = None

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
        pairs = model.about.languages
        hint = f"It has {', '.join('-'.join(pair) for pair in pairs)}."
        target = languages.find(request.target, [one for _, one in pairs])
        if target is None:
            raise UnknownLanguageError(
                f"{self._ref.name} does not translate into {request.target!r}.",
                hint=hint,
                param="target",
            )
        if request.source is None:
            return None, target
        source = languages.find(request.source, model.sources(target))
        if source is None:
            raise UnknownLanguageError(
                f"{self._ref.name} does not translate {request.source!r} into {target!r}.",
                hint=hint,
                param="source",
            )
        return source, target

    def _with_terms(
        self,
        model: _Model,
        text: str,
        made: str,
        target: str,
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
            own = model.translate([term], target)[0].strip(" .!?。")
            if _has(made, own, re.IGNORECASE):
                made = _replaced(made, own, wanted)
            else:
                (made,) = model.translate([_replaced(text, term, wanted)], target)
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
    """What the manifest says to this engine."""

    languages: tuple[tuple[str, str], ...]
    target_tokens: dict[str, str] = {}
    tokens: Literal["sentencepiece", "space"] = "sentencepiece"
    max_tokens: int = 256


class _Place(NamedTuple):
    """Where a sentence belongs: its text and its piece."""

    text: int
    piece: int


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
        if not self.about.languages:
            raise ConfigurationError(f"{folder}/model.json names no languages.")
        library.set_log_level(50)  # what goes wrong comes as an exception
        threads = min(_MOST_THREADS, cores())
        try:
            # Several workers of one thread each, for callers and batches at once.
            self._translator: Any = library.Translator(
                os.fspath(folder), device="cpu", inter_threads=threads, intra_threads=1
            )
            self._pieces: Any = None
            if self.about.tokens == "sentencepiece":
                self._pieces = pieces.SentencePieceProcessor(model_file=str(folder / "spm.model"))
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"The model in {folder} cannot be loaded: {error}.",
                hint="Is the folder whole? Compare it with the hashes in its model.json.",
            ) from None

    def sources(self, target: str) -> list[str]:
        """The languages that can be turned into ``target``, in the manifest's order."""
        return [source for source, one in self.about.languages if one == target]

    def translate(self, texts: Sequence[str], target: str) -> list[str]:
        """Each text's translation, its white space kept."""
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
        made: dict[_Place, str] = {}
        head = self.about.target_tokens.get(target)
        for start in range(0, len(todo), _TOGETHER):
            checkpoint()
            part = todo[start : start + _TOGETHER]
            given = [[head, *tokens] if head else tokens for _, tokens in part]
            for (place, _), tokens in zip(part, self._run(given), strict=True):
                made[place] = self._join(tokens)
        return [
            "".join(
                made.get(_Place(number, place), "") + piece.space
                for place, piece in enumerate(pieces)
            )
            for number, pieces in enumerate(whole)
        ]

    def _run(self, tokens: list[list[str]]) -> list[list[str]]:
        longest = max(map(len, tokens))
        results = self._translator.translate_batch(
            tokens,
            beam_size=BEAM,
            length_penalty=1.0,
            max_batch_size=_BATCH_TOKENS,
            batch_type="tokens",
            # No language pair needs three times the tokens; a model that goes round in circles
            # does. The positions end at twice the longest text of training.
            max_decoding_length=min(3 * longest + 10, 2 * self.about.max_tokens),
            disable_unk=True,
        )
        return [one.hypotheses[0] for one in results]

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
        return self._pieces.decode(tokens)


def _word(term: str) -> str:
    """A pattern for ``term`` as whole words, where its ends are letters at all."""
    return rf"(?<!\w){re.escape(term)}(?!\w)"


def _has(text: str, term: str, flags: int = 0) -> bool:
    return bool(term) and re.search(_word(term), text, flags) is not None


def _replaced(text: str, term: str, wanted: str) -> str:
    return re.sub(_word(term), lambda _: wanted, text, flags=re.IGNORECASE)

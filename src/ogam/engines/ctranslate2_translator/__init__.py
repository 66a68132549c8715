"""translate, with an encoder-decoder model in CTranslate2's format.

A model is a folder: ``model.json`` (the manifest, with ``languages``, ``target_tokens``,
``tokens`` and ``max_tokens`` beside the fields all have), CTranslate2's files, and ``spm.model``
where ``tokens`` is "sentencepiece". With "space" the text must come as the model was trained:
lower case, words and marks apart, parts of words marked by "@@".

Texts are cut into sentences, for that is what such models are trained on, translated in
batches, and put together with their own white space. Numbers and addresses are carried over as
they are by a model that knows marks (:mod:`.marks`). A glossary is kept by checking: the
model is given ways to use the term, and where none works that is an error, not silence.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar, NamedTuple

from ogam.capabilities import languages
from ogam.capabilities.base import Capability, ModelRef, Units
from ogam.capabilities.translation import TranslateRequest, TranslateResult, Translation
from ogam.engines.ctranslate2_translator import corrections
from ogam.engines.ctranslate2_translator.model import Model
from ogam.errors import NotConfiguredError, UnknownLanguageError, UnsupportedOptionError

_FORMALITIES = {"more": "formal", "less": "familiar"}
_CORRECT = "correct"


class CTranslate2TranslatorEngine:
    """Serves the model in ``ref.folder``. Safe to use from many threads at once."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"translate"})
    requires: ClassVar[tuple[str, ...]] = ("ctranslate2", "sentencepiece")
    extra: ClassVar[str] = "local"
    joins: ClassVar[bool] = True

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._lock = threading.Lock()
        self._model: Model | None = None

    def translate(self, request: TranslateRequest) -> TranslateResult:
        """Translations in the order of the texts; ``units.characters`` counts the texts.

        Without ``source`` each text's language is guessed among those that the model turns
        into ``target``. ``context`` is not used. ``alternatives`` are those of the beam, which
        more than 4 make wider; one that cannot take the glossary is left out. Raises
        UnknownLanguageError for a pair that the model has not, UnsupportedOptionError for
        ``formality`` more or less, and for a glossary whose term the model will not take.
        """
        model = self._load()
        source, target = self._pair(model, request)
        token = self._token(model, target, request)
        sources = (
            [source] * len(request.texts)
            if source is not None
            else [languages.guess(text, model.about.sources(target)) for text in request.texts]
        )
        made = model.translate(request.texts, sources, target, token, request.alternatives)
        if target.endswith(f"-x-{_CORRECT}"):
            made = [
                list(dict.fromkeys(corrections.taken(text, way) for way in ways))
                for text, ways in zip(request.texts, made, strict=True)
            ]
        if request.glossary:
            made = [
                self._all_with_terms(model, text, ways, _Pair(own, target, token), request.glossary)
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

    @property
    def formal(self) -> list[str]:
        """The targets in which it can choose the formality."""
        return self._load().about.with_manner(_FORMALITIES["more"])

    @property
    def corrected(self) -> list[str]:
        """The languages that it corrects: de where it has de-x-correct as a target."""
        return self._load().about.with_manner(_CORRECT)

    def close(self) -> None:
        """Let go of the model."""
        with self._lock:
            self._model = None

    def load(self) -> None:
        """Load the model now."""
        self._load()

    def _load(self) -> Model:
        with self._lock:
            if self._model is None:
                if self._ref.folder is None:
                    raise NotConfiguredError(
                        f"{self._ref.name!r} names no model.",
                        hint=f"Name a folder with one: {self._ref.engine}/./my-run/model.",
                    )
                self._model = Model(self._ref.folder)
            return self._model

    def _pair(self, model: Model, request: TranslateRequest) -> tuple[str | None, str]:
        """The model's own tags for the languages asked for; no source where none was given."""
        hint = f"It has {model.about.told()}."
        language, _, manner = request.target.partition("-x-")
        if manner:
            # To correct is asked for as a target; the other manners are by the formality.
            known = model.about.with_manner(manner) if manner == _CORRECT else []
            own = languages.find(language, known)
            if own is None or languages.find(request.source or own, [own]) is None:
                raise UnknownLanguageError(
                    f"{self._ref.name} does not turn "
                    f"{request.source or 'texts'!r} into {request.target!r}.",
                    hint=hint,
                    param="target",
                )
            return own, f"{own}-x-{manner}"
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

    def _token(self, model: Model, target: str, request: TranslateRequest) -> str:
        """What asks the model for the target, and for the formality; empty where nothing need."""
        tokens = model.about.target_tokens
        wanted = _FORMALITIES.get(request.formality.removeprefix("prefer_"))
        token = tokens.get(f"{target}-x-{wanted}") if wanted else None
        if wanted and token is None and not request.formality.startswith("prefer_"):
            raise UnsupportedOptionError(
                f"{self._ref.name} knows no formality in {target!r}.",
                hint=f"Leave it out, or ask for prefer_{request.formality}.",
                param="formality",
            )
        return token or tokens.get(target, "")

    def _all_with_terms(
        self,
        model: Model,
        text: str,
        ways: Sequence[str],
        pair: _Pair,
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
        model: Model,
        text: str,
        made: str,
        pair: _Pair,
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
            own = model.translate([term], [pair.source], *pair[1:])[0][0].strip(" .!?。")
            if _has(made, own, re.IGNORECASE):
                made = _replaced(made, own, wanted)
            else:
                text_with = _replaced(text, term, wanted)
                ((made,),) = model.translate([text_with], [pair.source], *pair[1:])
            # A later term may have undone an earlier one.
            missing = [one for one in kept if not _has(made, one)]
            if missing:
                raise UnsupportedOptionError(
                    f"{self._ref.name} could not use {missing[0]!r} for {term!r} in this text.",
                    hint="Leave the term out of the glossary, or take a model that keeps one.",
                    param="glossary",
                )
        return made


class _Pair(NamedTuple):
    """From a language into another, and the token that asks for it."""

    source: str
    target: str
    token: str


def _word(term: str) -> str:
    """A pattern for ``term`` as whole words, where its ends are letters at all."""
    return rf"(?<!\w){re.escape(term)}(?!\w)"


def _has(text: str, term: str, flags: int = 0) -> bool:
    return bool(term) and re.search(_word(term), text, flags) is not None


def _replaced(text: str, term: str, wanted: str) -> str:
    return re.sub(_word(term), lambda _: wanted, text, flags=re.IGNORECASE)

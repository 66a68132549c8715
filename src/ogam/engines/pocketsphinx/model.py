"""What a recogniser is made of: the English one inside PocketSphinx, or a folder's.

A folder holds ``model.json``, a dictionary and an n-gram model of some language; how sounds are
told apart is the American English acoustic model of PocketSphinx all the same, so the dictionary
writes the language's words in that model's phones. Knows nothing about how a folder was made.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ogam.capabilities.base import ModelRef
from ogam.engines._shared import check_whole
from ogam.engines.pocketsphinx.worker import Lexicon
from ogam.errors import ConfigurationError, UnknownLanguageError

_ENGLISH = "en-US"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The language heard, as a BCP-47 tag, and the files that say so; none: the library's own."""

    language: str = _ENGLISH
    lexicon: Lexicon | None = None

    @property
    def base(self) -> str:
        """The language alone: ``de`` of ``de-DE``."""
        return self.language.partition("-")[0]


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What this engine reads of ``model.json``.

    ``weights`` are how much the language model counts beside the sound in the three passes of
    the decoder, ``insertion`` what each word costs (the library's ``lw``, ``fwdflatlw``,
    ``bestpathlw`` and ``wip``).
    """

    language: str
    dictionary: str = "words.dict"
    language_model: str = "words.lm"
    weights: tuple[float, float, float] = (6.5, 8.5, 9.5)
    insertion: float = 0.65


def find(ref: ModelRef) -> Model:
    """The model that a name asks for.

    Raises UnknownLanguageError for a name that is not ``en-us``, ConfigurationError for a folder
    that holds no model of this engine.
    """
    if ref.folder is not None:
        return _read(ref.folder)
    if ref.model.lower() not in ("", "en-us"):
        raise UnknownLanguageError(
            f"PocketSphinx has no model {ref.model!r}.",
            hint="It hears American English: ask for pocketsphinx or pocketsphinx/en-us.",
        )
    return Model()


def _read(folder: Path) -> Model:
    path = folder / "model.json"
    try:
        told = msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} holds no model: model.json is missing.", hint="Install the model again."
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(
            f"{path} is not a recogniser's manifest: {error}.",
            hint="Is it a model of another engine?",
        ) from error
    check_whole(folder, (told.dictionary, told.language_model))
    lexicon = Lexicon(
        dictionary=str(folder / told.dictionary),
        language_model=str(folder / told.language_model),
        weights=told.weights,
        insertion=told.insertion,
    )
    return Model(language=told.language, lexicon=lexicon)

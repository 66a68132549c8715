"""translate: Marian, NLLB, M2M-100, mBART-50, and T5 by its prefixes."""

# transformers leaves most of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ogam.capabilities.base import Units, checkpoint
from ogam.capabilities.translation import TranslateRequest, TranslateResult, Translation
from ogam.engines.huggingface_transformers.loading import Loaded
from ogam.engines.huggingface_transformers.writing import settings
from ogam.errors import (
    InvalidRequestError,
    TooLargeError,
    UnknownLanguageError,
    UnsupportedOptionError,
)

BEAM = 4
_TOGETHER = 8
# ISO 639-1 to the ISO 639-3 tags that NLLB and Marian's models of several languages use.
_LONG = {
    "ar": "arb", "bg": "bul", "bn": "ben", "ca": "cat", "cs": "ces", "da": "dan", "de": "deu",
    "el": "ell", "en": "eng", "es": "spa", "et": "est", "fa": "pes", "fi": "fin", "fr": "fra",
    "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun", "id": "ind", "is": "isl", "it": "ita",
    "ja": "jpn", "ko": "kor", "lt": "lit", "lv": "lvs", "ms": "zsm", "nb": "nob", "nl": "nld",
    "no": "nob", "pl": "pol", "pt": "por", "ro": "ron", "ru": "rus", "sk": "slk", "sl": "slv",
    "sr": "srp", "sv": "swe", "sw": "swh", "ta": "tam", "th": "tha", "tl": "tgl", "tr": "tur",
    "uk": "ukr", "ur": "urd", "vi": "vie", "zh": "zho",
}  # fmt: skip
# What T5's prefixes call languages.
_NAMES = {"en": "English", "de": "German", "fr": "French", "ro": "Romanian"}
_MARK = re.compile(r">>[\w-]+<<")


def translate(loaded: Loaded, request: TranslateRequest) -> TranslateResult:
    """Translations in the order of the texts, by a beam of 4; each text is one piece.

    ``alternatives`` are the next best of the beam. ``units.characters`` counts the texts.
    ``context`` is not used. Raises UnknownLanguageError for a language that the model has not,
    InvalidRequestError without a ``source`` where the model must be told, TooLargeError for a
    text longer than the model reads, UnsupportedOptionError for formality more or less and for
    a glossary.
    """
    if request.formality in ("more", "less") or request.glossary:
        param = "glossary" if request.glossary else "formality"
        raise UnsupportedOptionError(
            f"{loaded.ref.name} knows no {param}.", hint="Leave it out.", param=param
        )
    way = {"marian": _marian, "t5": _t5}.get(loaded.config.model_type, _tagged)
    source, heads, first = way(loaded, request)
    made: dict[int, tuple[str, ...]] = {}
    for group, rows in _batches(loaded, [heads + text for text in request.texts], source, first):
        found = _run(loaded, rows, first, request.alternatives)
        made.update(zip(group, found, strict=True))
    told = (request.source or _short(source)).split("_")[0]
    return TranslateResult(
        engine=loaded.ref.engine,
        model=loaded.ref.name,
        units=Units(characters=sum(map(len, request.texts))),
        translations=tuple(
            Translation(text=made[at][0], source=told, alternatives=made[at][1:])
            for at in range(len(request.texts))
        ),
        target=request.target,
    )


def _batches(
    loaded: Loaded, texts: Sequence[str], source: str, first: int | None
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """(indices, their tokens), texts of one length together.

    So none is padded, and a text's translation does not hang on what it came with.
    """
    with loaded.lock:
        # The source's tag is kept in the tokenizer.
        if first is not None:
            loaded.reader.src_lang = source
        rows: list[list[int]] = loaded.reader(list(texts), verbose=False)["input_ids"]
    by_length: dict[int, list[int]] = {}
    for at, row in enumerate(rows):
        by_length.setdefault(len(row), []).append(at)
    for group in by_length.values():
        for start in range(0, len(group), _TOGETHER):
            part = group[start : start + _TOGETHER]
            yield part, [rows[at] for at in part]


def _run(
    loaded: Loaded, rows: list[list[int]], first: int | None, count: int
) -> list[tuple[str, ...]]:
    """So many translations of each row, the best first; ``first`` is the token they start with."""
    import torch

    given = torch.tensor(rows)
    length = given.shape[1]
    limit = getattr(loaded.config, "max_position_embeddings", None) or 1_000_000
    if length > limit:
        raise TooLargeError(
            f"A text has {length:,} tokens; the model reads {limit:,}.",
            hint="Cut it into sentences.",
            param="texts",
        )
    options: dict[str, Any] = {
        "num_beams": max(BEAM, count),
        "num_return_sequences": count,
        # No language pair needs three times the tokens; a model that goes round in circles does.
        "max_new_tokens": min(3 * length + 10, limit - 1),
        "pad_token_id": loaded.model.generation_config.pad_token_id,
    }
    if first is not None:
        options["forced_bos_token_id"] = first

    def look(tokens: Any, *_: Any, **__: Any) -> Any:
        checkpoint()
        return torch.zeros(len(tokens), dtype=torch.bool)

    with torch.inference_mode():
        out = loaded.model.generate(
            given,
            attention_mask=torch.ones_like(given),
            generation_config=settings(loaded, **options),
            stopping_criteria=[look],
        )
    texts = [one.strip() for one in loaded.reader.batch_decode(out, skip_special_tokens=True)]
    return [
        tuple(dict.fromkeys(texts[start : start + count])) for start in range(0, len(texts), count)
    ]


def _marian(loaded: Loaded, request: TranslateRequest) -> tuple[str, str, int | None]:
    """(source, what stands before each text, None): the pair is in the tokenizer's settings."""
    tokenizer = loaded.reader
    source, target = str(tokenizer.source_lang or ""), str(tokenizer.target_lang or "")
    if request.source is not None and source and not _same(request.source, source):
        raise _unknown(loaded, request.source, "source", [source])
    marks = sorted(one for one in tokenizer.get_vocab() if _MARK.fullmatch(one))
    if not marks:
        if target and not _same(request.target, target):
            raise _unknown(loaded, request.target, "target", [target])
        return source, "", None
    tags = [one[2:-2] for one in marks]
    found = _find(request.target, tags)
    if found is None:
        raise _unknown(loaded, request.target, "target", tags)
    return source, f">>{found}<< ", None


def _tagged(loaded: Loaded, request: TranslateRequest) -> tuple[str, str, int | None]:
    """(source tag, "", the first token): models that are told both languages by tags."""
    tokenizer = loaded.reader
    tags = _tags(tokenizer)
    if request.source is None:
        raise InvalidRequestError(
            f"{loaded.ref.name} must be told the language of the text.",
            hint="Give source, such as en.",
            param="source",
        )
    source, target = _find(request.source, list(tags)), _find(request.target, list(tags))
    if source is None:
        raise _unknown(loaded, request.source, "source", list(tags))
    if target is None:
        raise _unknown(loaded, request.target, "target", list(tags))
    return source, "", tags[target]


def _tags(tokenizer: Any) -> dict[str, int]:
    """A tokenizer's languages and their tokens: ``__de__``, ``de_DE`` or ``deu_Latn``."""
    known: dict[str, int] = getattr(tokenizer, "lang_code_to_id", None) or {}
    if known:
        return dict(known)
    found: dict[str, int] = {}
    for token, number in tokenizer.get_added_vocab().items():
        tag = token.strip("_")
        if re.fullmatch(r"[a-z]{2,3}(_[A-Za-z]{2,4})?", tag):
            found[tag] = number
    return found


def _t5(loaded: Loaded, request: TranslateRequest) -> tuple[str, str, int | None]:
    """(source, prefix, None): English to German, French and Romanian is what T5 was taught."""
    source = _base(request.source or "en")
    target = _base(request.target)
    for tag, param in ((source, "source"), (target, "target")):
        if tag not in _NAMES:
            raise _unknown(loaded, tag, param, list(_NAMES))
    return source, f"translate {_NAMES[source]} to {_NAMES[target]}: ", None


def _find(wanted: str, tags: Sequence[str]) -> str | None:
    """The tag among a model's that means a BCP-47 tag."""
    lower = {one.lower(): one for one in tags}
    tag = wanted.lower().replace("-", "_")
    if tag in lower:
        return lower[tag]
    if tag in ("zh_tw", "zh_hk", "zh_hant") and "zho_hant" in lower:
        return lower["zho_hant"]
    if tag.startswith("zh") and "zho_hans" in lower:
        return lower["zho_hans"]
    near = [one for one in tags if _same(wanted, one)]
    return min(near) if near else None


def _same(asked: str, own: str) -> bool:
    return _short(_base(asked)) == _short(_base(own))


def _base(tag: str) -> str:
    return re.split("[-_]", tag.strip("_").lower())[0]


def _short(tag: str) -> str:
    """The two letters of a three-letter tag, where it has any."""
    base = _base(tag)
    return next((short for short, long in _LONG.items() if long == base), base)


def _unknown(loaded: Loaded, tag: str, param: str, known: Sequence[str]) -> UnknownLanguageError:
    verb = "into" if param == "target" else "from"
    return UnknownLanguageError(
        f"{loaded.ref.name} does not translate {verb} {tag!r}.",
        hint=f"It has {', '.join(sorted(known)[:12])}{', …' if len(known) > 12 else ''}.",
        param=param,
    )

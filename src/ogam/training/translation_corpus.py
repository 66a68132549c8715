"""The data of a translation run: read, held out, cut into tokens, the too long left out."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

from ogam.errors import InvalidRequestError
from ogam.training import data
from ogam.training.translation_data import (
    Example,
    Languages,
    Text,
    Tokens,
    make_tokens,
    numbers,
    read,
    target_token,
)
from ogam.training.translation_settings import Settings


class Corpus(NamedTuple):
    """The data of a run, as text and as numbers."""

    tokens: Tokens
    tagged: bool
    pairs: tuple[tuple[str, str], ...]
    train: list[Example]
    valid: list[Example]
    valid_texts: list[Text]
    test_texts: list[Text]


def load(settings: Settings, folder: Path) -> Corpus:
    """Read the data, make the tokens, leave out what is too long."""
    return build(settings, folder, *texts(settings))


def texts(settings: Settings) -> tuple[list[Text], list[Text], list[Text]]:
    """The pairs for training, validation (held out where there is no file of it) and test."""
    known = Languages(settings.source_language, settings.target_language)
    train, valid, test = (
        read([Path(one) for one in paths], settings.columns, known) if paths else []
        for paths in (settings.train, settings.valid, settings.test)
    )
    if not valid:
        train, valid = _hold_out(train, settings.seed)
    return train, valid, test


def build(
    settings: Settings, folder: Path, train: list[Text], valid: list[Text], test: list[Text]
) -> Corpus:
    """Pairs to numbers, by the tokens in ``folder`` or new ones; the too long left out."""
    pairs = tuple(sorted({(one.languages.source, one.languages.target) for one in train}))
    targets = sorted({target for _, target in pairs})
    tagged = settings.target_token
    if tagged is None:
        tagged = bool(settings.target_language) or len(targets) > 1
    for one in (*valid, *test):
        if tuple(one.languages) not in pairs:
            raise InvalidRequestError(
                f"{'-'.join(one.languages)} is in the validation or test data and not in the "
                "training data.",
                hint="Train on that pair of languages too, or leave it out.",
            )
    extra = [target_token(one) for one in targets] if tagged else []
    start = Path(settings.start) if settings.start else None
    tokens = make_tokens(folder, settings.tokens, train, extra, settings.vocabulary, start=start)
    fitting, dropped = _fitting(numbers(tokens, train, tagged=tagged), settings)
    valid_numbers, _ = _fitting(numbers(tokens, valid, tagged=tagged), settings)
    if not fitting or not valid_numbers:
        raise InvalidRequestError(
            f"No pair is shorter than {settings.max_tokens} tokens.", hint="Raise --max-tokens."
        )
    if dropped:
        data.warn(
            f"{dropped:,} of {len(train):,} pairs have more than {settings.max_tokens} tokens "
            "and are left out."
        )
    return Corpus(tokens, tagged, pairs, fitting, valid_numbers, valid, test)


def _fitting(examples: list[Example], settings: Settings) -> tuple[list[Example], int]:
    limit = min(settings.max_tokens, settings.batch_tokens - 1)
    kept = [one for one in examples if max(len(one.source), len(one.target)) <= limit]
    return kept, len(examples) - len(kept)


def _hold_out(texts: list[Text], seed: int) -> tuple[list[Text], list[Text]]:
    """A hundredth for validation, one pair at least, 2,000 at most; the same each time."""
    if len(texts) < 2:
        raise InvalidRequestError(
            "One pair is too little to train on.", hint="Give more, or validation data."
        )
    count = min(2000, max(1, len(texts) // 100))
    chosen = set(random.Random(seed).sample(range(len(texts)), count))  # noqa: S311
    left = [one for index, one in enumerate(texts) if index not in chosen]
    return left, [texts[index] for index in sorted(chosen)]

"""Styles and tones of English that a few rules can write: with short forms, or without them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from ogam.errors import UnsupportedOptionError
from ogam.protocols.deepl import wire

Register = Literal["short", "long"]
# DeepL's own names for them; of the others a rule knows nothing.
_REGISTERS: dict[str, Register] = {
    "casual": "short",
    "friendly": "short",
    "academic": "long",
    "business": "long",
    "diplomatic": "long",
}
_FORMS = (
    ("I am", "I'm"), ("you are", "you're"), ("he is", "he's"), ("she is", "she's"),
    ("it is", "it's"), ("we are", "we're"), ("they are", "they're"), ("that is", "that's"),
    ("there is", "there's"), ("what is", "what's"), ("do not", "don't"),
    ("does not", "doesn't"), ("did not", "didn't"), ("is not", "isn't"), ("are not", "aren't"),
    ("was not", "wasn't"), ("were not", "weren't"), ("cannot", "can't"), ("could not", "couldn't"),
    ("will not", "won't"), ("would not", "wouldn't"), ("should not", "shouldn't"),
    ("have not", "haven't"), ("has not", "hasn't"), ("had not", "hadn't"), ("I will", "I'll"),
    ("you will", "you'll"), ("we will", "we'll"), ("they will", "they'll"), ("I have", "I've"),
    ("let us", "let's"),
)  # fmt: skip
# "Yes, I am." has no short form: a word must follow. Nor have "it is" and its like a sure long
# one, "it has" being as short; what comes before "been" or "got" stays.
_FOLLOWED = r"(?= \w)(?! (?:been|got)\b)"


def wanted(body: wire.RephraseBody | wire.CorrectBody, languages: Sequence[str]) -> Register | None:
    """The register that a body asks for; UnsupportedOptionError where it demands another."""
    if isinstance(body, wire.CorrectBody):
        return None
    others = ", ".join(sorted({*languages} - {"en"}))
    for param in ("writing_style", "tone"):
        asked: str | None = getattr(body, param)
        if asked is None or asked == "default":
            continue
        found = _REGISTERS.get(asked.removeprefix("prefer_"))
        if found is not None and not others:
            return found
        if not asked.startswith("prefer_"):
            raise UnsupportedOptionError(
                f"{param} {asked!r} cannot be written here{f' in {others}' if others else ''}.",
                hint=f"Leave it out, ask for prefer_{asked}, or put a model that follows "
                "instructions on the route for generate in ogam.toml.",
                param=param,
            )
    return None


def written(text: str, register: Register | None) -> str:
    """The text in the register: "It is late." is "It's late." in the short one."""
    if register is None:
        return text
    for long, short in _FORMS:
        old, new = (long, short) if register == "short" else (short, long)

        def put(found: re.Match[str], new: str = new) -> str:
            return new[0].upper() + new[1:] if found.group()[0].isupper() else new

        text = re.sub(rf"(?<![\w']){re.escape(old)}{_FOLLOWED}", put, text, flags=re.IGNORECASE)
    return text

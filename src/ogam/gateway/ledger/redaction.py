"""What must not be kept is taken out of what is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ogam.errors import ConfigurationError

REDACTED = "[redacted]"


class Redaction:
    """Replaces each match of ``patterns`` in the texts of a JSON document, names included.

    Texts, not the document's bytes: in those a letter may be written in several ways, and a
    match may run over the end of a text. A number that matches becomes a text.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        try:
            self._patterns = [re.compile(one) for one in patterns]
        except re.error as error:
            raise ConfigurationError(
                f"{error.pattern!r} is no regular expression: {error.msg}."
            ) from None

    def json(self, document: bytes | str) -> str:
        """The document, redacted. What is no JSON is kept as one text."""
        try:
            value = msgspec.json.decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError):
            value = document if isinstance(document, str) else document.decode(errors="replace")
        # Neither database takes NUL, nor half of a surrogate pair.
        return msgspec.json.encode(self._walk(value)).decode().replace("\\u0000", "\\ufffd")

    def _walk(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(name): self._walk(one) for name, one in value.items()}  # pyright: ignore
        if isinstance(value, list):
            return [self._walk(one) for one in value]  # pyright: ignore
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = self._text(str(value))
            return value if text == str(value) else text
        return value

    def _text(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return text

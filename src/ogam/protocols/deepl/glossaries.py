"""Glossaries on disk: one file each, written whole or not at all."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ogam.errors import InvalidRequestError, NotFoundError
from ogam.markup.glossary import Term
from ogam.media import files
from ogam.protocols.deepl.languages import base

# DeepL's own bound: https://developers.deepl.com/docs/resources/usage-limits
_MOST = 1000
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Dictionary(msgspec.Struct, frozen=True, kw_only=True):
    """Terms of one pair of languages, which are bases in upper case."""

    source: str
    target: str
    entries: dict[str, str]


class Glossary(msgspec.Struct, frozen=True, kw_only=True):
    """A named set of dictionaries, of each pair at most one. ``created`` is ISO 8601."""

    id: str
    name: str
    created: str
    dictionaries: tuple[Dictionary, ...]

    def dictionary(self, source: str, target: str) -> Dictionary:
        """The one of a pair; NotFoundError where there is none."""
        for one in self.dictionaries:
            if (one.source, one.target) == (base(source), base(target)):
                return one
        raise NotFoundError(
            f"The glossary has no dictionary {base(source)} to {base(target)}.",
            hint="It has "
            + ", ".join(f"{one.source} to {one.target}" for one in self.dictionaries)
            + ".",
            param="glossary_id",
        )

    def having(self, new: Dictionary) -> Glossary:
        """With this dictionary, in place of the one of its pair."""
        kept = list(self.dictionaries)
        for at, one in enumerate(kept):
            if (one.source, one.target) == (new.source, new.target):
                kept[at] = new
                break
        else:
            kept.append(new)
        return msgspec.structs.replace(self, dictionaries=tuple(kept))


class Glossaries:
    """All glossaries in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def create(self, name: str, dictionaries: Sequence[Dictionary]) -> Glossary:
        """A new glossary."""
        _check(name, dictionaries)
        # Milliseconds, for the SDK reads no time without a fraction.
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        made = Glossary(
            id=str(uuid.uuid4()), name=name, created=now, dictionaries=tuple(dictionaries)
        )
        with self._lock:
            if len(list(self._folder.glob("*.json"))) >= _MOST:
                raise InvalidRequestError(
                    f"There are {_MOST:,} glossaries already.", hint="Delete some."
                )
            self._write(made)
        return made

    def get(self, identity: str) -> Glossary:
        """One by its id; NotFoundError where there is none."""
        try:
            return msgspec.json.decode(self._file(identity).read_bytes(), type=Glossary)
        except (OSError, msgspec.MsgspecError):
            raise _unknown(identity) from None

    def has(self, identity: str) -> bool:
        """Whether there is one of that id."""
        return bool(_ID.fullmatch(identity)) and self._file(identity).is_file()

    def all(self) -> list[Glossary]:
        """All, the oldest first."""
        found: list[Glossary] = []
        for file in self._folder.glob("*.json"):
            try:
                found.append(msgspec.json.decode(file.read_bytes(), type=Glossary))
            except (OSError, msgspec.MsgspecError):  # deleted meanwhile, or not ours
                continue
        return sorted(found, key=lambda one: (one.created, one.id))

    def change(self, identity: str, change: Callable[[Glossary], Glossary]) -> Glossary:
        """Put ``change`` of a glossary in its place; two changes at once both happen."""
        with self._lock:
            made = change(self.get(identity))
            _check(made.name, made.dictionaries)
            self._write(made)
        return made

    def delete(self, identity: str) -> None:
        """Take one away; NotFoundError where there is none."""
        try:
            self._file(identity).unlink()
        except OSError:
            raise _unknown(identity) from None

    def terms(self, identities: Sequence[str], source: str, target: str) -> list[Term]:
        """The terms of several glossaries for a pair; the first to know a term says it."""
        found: dict[str, str] = {}
        for identity in identities:
            for term, wanted in self.get(identity).dictionary(source, target).entries.items():
                found.setdefault(term, wanted)
        return [Term(*one) for one in found.items()]

    def _file(self, identity: str) -> Path:
        if not _ID.fullmatch(identity):
            raise _unknown(identity)
        return self._folder / f"{identity}.json"

    def _write(self, glossary: Glossary) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        files.write(self._file(glossary.id), msgspec.json.encode(glossary))


def _check(name: str, dictionaries: Sequence[Dictionary]) -> None:
    if not name.strip() or len(name) > 1024:
        raise InvalidRequestError("The glossary's name is empty or too long.", param="name")
    if not dictionaries:
        raise InvalidRequestError("The glossary has no dictionary.", param="dictionaries")
    pairs = [(one.source, one.target) for one in dictionaries]
    if len(set(pairs)) < len(pairs):
        raise InvalidRequestError("Two dictionaries have the same pair.", param="dictionaries")


def _unknown(identity: str) -> NotFoundError:
    return NotFoundError(
        f"There is no glossary {identity[:40]!r}.",
        hint="GET /v3/glossaries lists all.",
        param="glossary_id",
    )

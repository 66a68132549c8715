"""Glossaries that requests bring along, kept in the DeepL account while they are used.

DeepL takes a glossary only by the id of one that it has; making and deleting one bills
nothing, and may not be done often. So the last few are kept, named after what is in them: the
next request with the same terms, also of another process, finds its glossary there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import msgspec

from ogam.errors import InvalidRequestError, OgamError, UnsupportedOptionError, VendorError
from ogam.protocols.deepl import wire, wire_answers
from ogam.protocols.deepl.client_calls import Calls
from ogam.protocols.deepl.convert_asked import encoded

_PATH = "/v3/glossaries"
_PREFIX = "ogam-"
# A small part of what any account may have.
_MOST = 8
# By these DeepL says that it makes no (more) glossaries now, or has none of such languages.
_NOT_TAKEN = (404, 429, 456, 529)


class Glossaries:
    """Those of one engine. Used on one event loop."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._kept: OrderedDict[str, str] = OrderedDict()  # name -> id, the last used last
        self._used: Counter[str] = Counter()
        self._left: dict[str, str] | None = None  # what other processes left
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def holding(self, terms: wire.DictionaryBody) -> AsyncGenerator[str]:
        """The id of a glossary of these terms, which stays at least as long as it is held.

        UnsupportedOptionError (``param`` "glossary") where DeepL takes no such glossary.
        """
        name = _PREFIX + hashlib.sha256(encoded(terms)).hexdigest()[:40]
        async with self._lock:
            identity = self._kept.get(name) or await self._made(name, terms)
            self._kept[name] = identity
            self._kept.move_to_end(name)
            self._used[name] += 1
        try:
            yield identity
        except VendorError as error:
            if error.status == 404:  # deleted meanwhile by somebody else
                self._kept.pop(name, None)
            raise
        finally:
            self._used[name] -= 1

    async def delete(self) -> None:
        """Delete what was kept, as far as DeepL lets."""
        async with self._lock:
            while self._kept:
                await self._delete(next(iter(self._kept)))

    async def _made(self, name: str, terms: wire.DictionaryBody) -> str:
        if self._left is None:
            told = await self._calls.ask(_PATH, wire_answers.Glossaries)
            self._left = {
                one.name: one.glossary_id for one in told.glossaries if one.name.startswith(_PREFIX)
            }
        if name in self._left:
            return self._left.pop(name)
        while len(self._kept) >= _MOST:
            idle = next((one for one in self._kept if not self._used[one]), None)
            if idle is None:
                break
            await self._delete(idle)
        body = wire.MultilingualBody(name=name, dictionaries=[terms])
        try:
            data = await self._calls.send("POST", _PATH, msgspec.json.encode(body))
        except (InvalidRequestError, VendorError) as error:
            if isinstance(error, VendorError) and error.status not in _NOT_TAKEN:
                raise
            raise UnsupportedOptionError(
                f"The glossary is not taken: {error.message}",
                hint="Leave it out, or put the terms in yourself.",
                param="glossary",
            ) from None
        return self._calls.decode(data, wire_answers.Glossary).glossary_id

    async def _delete(self, name: str) -> None:
        identity = self._kept.pop(name)
        del self._used[name]
        with suppress(OgamError):
            await self._calls.send("DELETE", f"{_PATH}/{identity}")

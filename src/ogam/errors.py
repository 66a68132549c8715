"""Every error Ogam raises, and nothing about how a protocol or a shell shows it.

The tree::

    OgamError
    ├── InvalidRequestError        the caller can mend this
    │   ├── InvalidMediaError      not audio, not a picture, or damaged
    │   ├── TooLargeError          over a limit on bytes, pixels, seconds, characters
    │   └── UnsupportedOptionError this engine cannot do what was asked
    ├── NotFoundError
    │   ├── UnknownEngineError
    │   ├── UnknownModelError
    │   ├── UnknownVoiceError
    │   ├── UnknownLanguageError
    │   └── ReplayMissError        only recordings may answer, and none is of this request
    ├── AuthenticationError        the key is missing, or nobody here knows it
    ├── ForbiddenError             the key is known, and may not do this
    ├── OverloadedError            too much work is waiting; later it will go
    │   └── RateLimitedError       the key asks for more than it may in a time
    ├── BudgetError                it could cost more than is left
    │   └── UnpricedError          what it could cost is not known, and a budget stands over it
    ├── NotConfiguredError         nothing here can answer yet
    │   ├── MissingExtraError      a package is not installed; the hint is the exact command
    │   └── UntrainedHeadError     a model lacks trained weights for what is asked of it
    ├── ConfigurationError         ogam.toml or OGAM_* is wrong
    ├── OutputError                a result could not be written
    ├── DeadlineError              the time given ran out
    ├── DownloadError              a model could not be fetched whole and as published
    ├── FetchError                 what a client named by its URL could not be had
    ├── LedgerError                the ledger's database does not answer, and paid work waits for it
    └── EngineError                an engine broke while it worked
        └── VendorError            a vendor failed, or could not be reached

An error has a ``message`` (what was wrong) and a ``hint`` (what to do). Both are
one line. ``str(error)`` joins them.
"""

from __future__ import annotations

__all__ = [
    "AuthenticationError",
    "BudgetError",
    "ConfigurationError",
    "DeadlineError",
    "DownloadError",
    "EngineError",
    "FetchError",
    "ForbiddenError",
    "InvalidMediaError",
    "InvalidRequestError",
    "LedgerError",
    "MissingExtraError",
    "NotConfiguredError",
    "NotFoundError",
    "OgamError",
    "OutputError",
    "OverloadedError",
    "RateLimitedError",
    "ReplayMissError",
    "TooLargeError",
    "UnknownEngineError",
    "UnknownLanguageError",
    "UnknownModelError",
    "UnknownVoiceError",
    "UnpricedError",
    "UnsupportedOptionError",
    "UntrainedHeadError",
    "VendorError",
]


class OgamError(Exception):
    """The root. ``param`` names the argument at fault, where there is one."""

    def __init__(self, message: str, *, hint: str = "", param: str | None = None) -> None:
        self.message = _one_line(message)
        self.hint = _one_line(hint)
        self.param = param
        super().__init__(f"{self.message} {self.hint}".strip())


class InvalidRequestError(OgamError):
    """The request cannot be carried out as it stands."""


class InvalidMediaError(InvalidRequestError):
    """The bytes are not the audio or picture they should be."""


class TooLargeError(InvalidRequestError):
    """Over one of the limits in :mod:`ogam.media.limits`."""


class UnsupportedOptionError(InvalidRequestError):
    """The engine has no such ability; it says so rather than ignore the option."""


class NotFoundError(OgamError):
    """A name that nothing here answers to."""


class UnknownEngineError(NotFoundError):
    """No engine of that name is registered."""


class UnknownModelError(NotFoundError):
    """The engine exists, the model does not."""


class UnknownVoiceError(NotFoundError):
    """The engine has no such voice."""


class UnknownLanguageError(NotFoundError):
    """The engine does not know that language."""


class ReplayMissError(NotFoundError):
    """The route answers from recordings alone, and has none of this request."""


class AuthenticationError(OgamError):
    """The caller showed no key, or one that is not known."""


class ForbiddenError(OgamError):
    """The caller's key may not use this capability, model or protocol."""


class OverloadedError(OgamError):
    """As much work is waiting as may wait. ``retry_after``: seconds until it is worth a try."""

    def __init__(self, message: str, *, hint: str = "", retry_after: float = 1.0) -> None:
        self.retry_after = retry_after
        super().__init__(message, hint=hint)


class RateLimitedError(OverloadedError):
    """The caller's key has used up what it may in this time. ``limit``: of what, or
    ``concurrent`` where it has as many calls at a time as it may.
    """

    def __init__(
        self, message: str, *, hint: str = "", retry_after: float = 1.0, limit: str = ""
    ) -> None:
        self.limit = limit
        super().__init__(message, hint=hint, retry_after=retry_after)


class BudgetError(OgamError):
    """The most that a call can cost is over what is left under ``budget``.

    ``needed`` and ``left`` are nano-dollars.
    """

    def __init__(
        self, message: str, *, hint: str = "", budget: str = "", needed: int = 0, left: int = 0
    ) -> None:
        super().__init__(message, hint=hint)
        self.budget, self.needed, self.left = budget, needed, left


class UnpricedError(BudgetError):
    """No price is known for a model, or no bound for a request, that falls under a budget."""


class NotConfiguredError(OgamError):
    """No route for this capability leads to anything that can answer."""


class MissingExtraError(NotConfiguredError):
    """An engine's library is not installed."""


class UntrainedHeadError(NotConfiguredError):
    """A checkpoint has no trained weights for ``parameters``, which the task needs."""

    def __init__(self, message: str, *, hint: str = "", parameters: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.parameters = parameters


class ConfigurationError(OgamError):
    """A setting is missing, misspelt or out of range."""


class OutputError(OgamError):
    """The answer exists, and the place it should go to refuses it."""


class DeadlineError(OgamError):
    """The time given for the call ran out."""


class DownloadError(OgamError):
    """A model could not be fetched: no network, no access, or other bytes than were published."""


class FetchError(OgamError):
    """A URL that a client named did not answer, or not with what was asked."""


class LedgerError(OgamError):
    """The ledger cannot be written or read, so that nothing that costs money is let through."""


class EngineError(OgamError):
    """An engine failed for a reason of its own."""


class VendorError(EngineError):
    """A vendor failed, refused for reasons of its own, or could not be reached.

    ``status`` is its HTTP status, where it gave one, ``retry_after`` the seconds it asked to
    wait. ``sent``: the request may have reached it, so that it may bill it.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        retry_after: float | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status, self.retry_after, self.sent = status, retry_after, sent


def _one_line(text: str) -> str:
    return " ".join(text.split())

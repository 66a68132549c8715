"""Version 2's recognisers: there is one, ``_``, in every project and place.

https://cloud.google.com/speech-to-text/v2/docs/recognizers
"""

from __future__ import annotations

import re

from ogam.errors import InvalidRequestError, NotFoundError
from ogam.protocols.google_speech import wire_v2

_PARENT = re.compile(r"projects/[^/\s]{1,200}/locations/[\w-]{1,60}")


def parent_of(name: str) -> str:
    """``projects/p/locations/l`` of a recogniser's name; NotFoundError for one not here."""
    parent, _, identity = name.rpartition("/recognizers/")
    check_parent(parent)
    if identity != "_":
        raise NotFoundError(
            f"Unable to find Recognizer {name[:200]} from project.",
            hint="There is one here: recognizers/_.",
        )
    return parent


def check_parent(parent: str) -> None:
    """InvalidRequestError where it names no place."""
    if not _PARENT.fullmatch(parent):
        raise InvalidRequestError(
            f"Invalid resource name: {parent[:200]!r}.",
            hint="It looks like projects/local/locations/global.",
            param="recognizer",
        )


def get(name: str) -> wire_v2.Recognizer:
    """One recogniser."""
    parent_of(name)
    return wire_v2.Recognizer(name=name, uid="_", display_name="Ogam's", state="ACTIVE")


def listed(parent: str) -> wire_v2.ListRecognizersResponse:
    """All of a place."""
    check_parent(parent)
    return wire_v2.ListRecognizersResponse(recognizers=[get(f"{parent}/recognizers/_")])

"""Pictures out of text: nothing here draws, and says so in the vendor's words."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from ogam.errors import NotConfiguredError
from ogam.protocols.serving import Call, Route

_PAGES = "https://developers.openai.com/api/reference/resources/images/methods"


async def refuse(_: Call) -> Response:
    """NotConfiguredError."""
    raise NotConfiguredError(
        "No engine here draws pictures.", hint="Send this request to OpenAI itself."
    )


ROUTES = (
    Route(
        method="POST",
        path="/v1/images/generations",
        handler=refuse,
        summary="Refused: no engine here draws.",
        page=f"{_PAGES}/generate",
        body=dict[str, Any],
    ),
    Route(
        method="POST",
        path="/v1/images/edits",
        handler=refuse,
        summary="Refused: no engine here draws.",
        page=f"{_PAGES}/edit",
    ),
    Route(
        method="POST",
        path="/v1/images/variations",
        handler=refuse,
        summary="Refused: no engine here draws.",
        page=f"{_PAGES}/create_variation",
    ),
)

"""What ElevenLabs's SDK asks for, answered: voices, models, account; the rest in routes_*."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult
from ogam.gateway import characters
from ogam.protocols.elevenlabs import (
    convert_voices,
    errors,
    passing,
    routes_listening,
    routes_socket,
    routes_speech,
    speaking,
    wire,
)
from ogam.protocols.serving import Call, Protocol, Route, reply

_PAGES = "https://elevenlabs.io/docs/api-reference"


async def voices(call: Call) -> Response:
    """All voices of the model that speaks."""
    passed = await passing.about_voices(call)
    if passed is not None:
        return passed
    return reply(wire.Voices(voices=await _voices(call)))


async def search(call: Call) -> Response:
    """Those that fit, page by page."""
    passed = await passing.about_voices(call)
    if passed is not None:
        return passed
    asked = call.request.query_params
    fields: dict[str, object] = dict(asked)
    fields |= {name: asked.getlist(name) for name in ("voice_ids", "use_cases") if name in asked}
    try:
        query = msgspec.convert(fields, wire.VoicesQuery, strict=False)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$.")
        raise errors.ShapeError(
            f"The query is wrong: {said}.", param=place.rstrip("`") or None
        ) from None
    return reply(convert_voices.page(await _voices(call), query))


async def voice(call: Call) -> Response:
    """One voice: of the engine, of [names], or one of the vendor's that is answered here."""
    passed = await passing.about_voices(call)
    if passed is not None:
        return passed
    return reply(await _voice(call))


async def settings(call: Call) -> Response:
    """A voice's settings; all have the same."""
    passed = await passing.about_voices(call)
    if passed is not None:
        return passed
    await _voice(call)
    return reply(convert_voices.SETTINGS)


async def default_settings(call: Call) -> Response:
    """The settings of a voice that has none of its own."""
    passed = await passing.about_voices(call)
    return passed or reply(convert_voices.SETTINGS)


async def _voices(call: Call) -> list[wire.Voice]:
    model = call.gateway.models("speak", None)[0]
    found = await speaking.voices(call.gateway, model)
    return [convert_voices.voice(one, model) for one in found]


async def _voice(call: Call) -> wire.Voice:
    identity = call.params["voice_id"]
    model = call.gateway.models("speak", call.model(identity if _named(call) else None))[0]
    if _named(call) or identity in convert_voices.PREMADE:
        name = convert_voices.PREMADE.get(identity, identity)
        return convert_voices.premade(identity, name, model)
    for one in await speaking.voices(call.gateway, model):
        if one.id == identity:
            return convert_voices.voice(one, model)
    if call.gateway.vendor(model) is not None:
        # To speak costs money there, and what it does not list may be any voice.
        return convert_voices.unlisted(identity, model)
    # Engines have voices that they do not list, such as variants: whether they speak, tells.
    await call.answer("speak", SpeakRequest(text="a", voice=identity), SpeakResult)
    return convert_voices.unlisted(identity, model)


def _named(call: Call) -> bool:
    return call.params["voice_id"] in call.gateway.config.names


async def models(call: Call) -> Response:
    """The models of the routes that speak and transcribe."""
    routes = call.gateway.config.routes
    speak = [
        convert_voices.speaking_model(
            name.removesuffix("/*"), await speaking.voices(call.gateway, name)
        )
        for name in routes.of("speak").names
    ]
    return reply(
        speak
        + [
            convert_voices.hearing_model(name.removesuffix("/*"))
            for name in routes.of("transcribe").names
        ]
    )


async def subscription(call: Call) -> Response:
    """What the key's calls spoke this month."""
    return reply(await _subscription(call))


async def user(call: Call) -> Response:
    """The key, as a user."""
    identity = (call.key.id if call.key else "") or "anyone"
    told = await _subscription(call)
    return reply(wire.User(user_id=identity, workspace_id="ogam", subscription=told))


async def _subscription(call: Call) -> wire.Subscription:
    count, limit = await characters.used(call.gateway, call.key, "speak", "elevenlabs")
    return wire.Subscription(character_count=count, character_limit=limit)


def _key(request: Request) -> str | None:
    return request.headers.get("xi-api-key")


def _speaks(request: Request) -> bool:
    agent = request.headers.get("user-agent", "").lower()
    return agent.startswith("elevenlabs/") or "xi-api-key" in request.headers


def _route(
    path: str, handler: object, summary: str, page: str, kind: object, *, query: object = None
) -> Route:
    return Route(
        method="GET",
        path=path,
        handler=handler,  # pyright: ignore[reportArgumentType]
        summary=summary,
        page=f"{_PAGES}/{page}",
        query=query,
        reply=kind,
    )


PROTOCOL = Protocol(
    name="elevenlabs",
    routes=(
        *routes_speech.ROUTES,
        *routes_listening.ROUTES,
        _route("/v1/voices", voices, "List the voices.", "voices/get-all", wire.Voices),
        _route(
            "/v2/voices",
            search,
            "Find voices.",
            "voices/search",
            wire.VoicesPage,
            query=wire.VoicesQuery,
        ),
        _route("/v1/voices/{voice_id}", voice, "Describe a voice.", "voices/get", wire.Voice),
        _route(
            "/v1/voices/settings/default",
            default_settings,
            "The settings a voice starts with.",
            "voices/settings/get-default",
            wire.VoiceSettings,
        ),
        _route(
            "/v1/voices/{voice_id}/settings",
            settings,
            "A voice's settings.",
            "voices/settings/get",
            wire.VoiceSettings,
        ),
        _route("/v1/models", models, "List the models.", "models/list", list[wire.Model]),
        _route(
            "/v1/user/subscription",
            subscription,
            "How much was spoken.",
            "user/subscription/get",
            wire.Subscription,
        ),
        _route("/v1/user", user, "Who asks.", "user/get", wire.User),
    ),
    sockets=routes_socket.SOCKETS,
    key=_key,
    failure=errors.failure,
    speaks=_speaks,
    vendor_names=("eleven_*", "scribe_*"),
    request_id_header="request-id",
)

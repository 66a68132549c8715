"""OpenAI's responses to Ogam's values and back. Pure: identities and times are given."""

from __future__ import annotations

from typing import Any

import msgspec

from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, Message
from ogam.errors import InvalidRequestError, UnsupportedOptionError
from ogam.protocols.openai import wire_responses as wire
from ogam.protocols.openai.convert import joined, refuse

_KINDS = ("input_text", "output_text", "text")
REFUSED: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "context_management": ([],),
    "conversation": (),
    "moderation": (),
    "prompt": (),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}


def generate_request(body: wire.ResponseBody) -> GenerateRequest:
    """What a response asks for; the instructions come first.

    But for ``text.format``: see ``structured``.
    """
    refuse(body, REFUSED)
    if body.previous_response_id is not None:
        raise UnsupportedOptionError(
            "Responses are not kept here, so previous_response_id leads nowhere.",
            hint="Send the whole conversation as input.",
            param="previous_response_id",
        )
    if "message.output_text.logprobs" in (body.include or ()):
        raise UnsupportedOptionError(
            "No engine on this route tells logprobs.", hint="Leave it out.", param="include"
        )
    messages = _messages(body)
    options: dict[str, Any] = {"temperature": body.temperature, "top_p": body.top_p}
    return GenerateRequest(
        messages=messages,
        max_tokens=body.max_output_tokens,
        **{name: one for name, one in options.items() if one is not None},
    )


def begun(body: wire.ResponseBody, *, identity: str, created: int, model: str) -> wire.Response:
    """The response before its first word."""
    return wire.Response(
        id=f"resp_{identity}",
        created_at=created,
        model=model,
        status="in_progress",
        output=[],
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        metadata=body.metadata or {},
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        text=wire.TextOptions(format=_format(body)),
        tool_choice="auto",
    )


def item(identity: str, status: wire.Status, text: str | None) -> wire.OutputMessage:
    """The answer as an item; None: without content yet."""
    content = [] if text is None else [wire.OutputText(text=text)]
    return wire.OutputMessage(id=f"msg_{identity}", status=status, content=content)


def ended(
    response: wire.Response, result: GenerateResult, *, identity: str, completed: int
) -> wire.Response:
    """``response`` with its answer."""
    read, written = result.units.input_tokens, result.units.output_tokens
    cut = result.choices[0].finish_reason == "length"
    status: wire.Status = "incomplete" if cut else "completed"
    return msgspec.structs.replace(
        response,
        model=result.model,
        status=status,
        completed_at=None if cut else completed,
        incomplete_details=wire.Incomplete() if cut else None,
        output=[item(identity, status, result.text)],
        usage=wire.ResponseUsage(
            input_tokens=read, output_tokens=written, total_tokens=read + written
        ),
    )


def _format(body: wire.ResponseBody) -> wire.TextFormat:
    return msgspec.convert((body.text or {}).get("format") or {}, wire.TextFormat)


def _messages(body: wire.ResponseBody) -> tuple[Message, ...]:
    found: list[Message] = []
    if body.instructions:
        found.append(Message(role="system", content=body.instructions))
    if isinstance(body.input, str):
        given = [Message(role="user", content=body.input)]
    else:
        given = [_message(one, f"input[{at}]") for at, one in enumerate(body.input or ())]
    if not any(one.content for one in given):
        raise InvalidRequestError("input holds no text.", hint="Give some text.", param="input")
    return (*found, *given)


def _message(one: wire.InputItem, where: str) -> Message:
    if one.type != "message":
        raise UnsupportedOptionError(
            f"{where} is of type {one.type!r}; the route's engine takes messages only.",
            hint="Send messages with text.",
            param=where,
        )
    if one.role is None or one.content is None:
        raise InvalidRequestError(f"{where} needs a role and content.", param=where)
    role = "system" if one.role == "developer" else one.role
    return Message(role=role, content=joined(one.content, where, _KINDS))

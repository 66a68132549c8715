"""OpenAI's responses to Ogam's values and back. Pure: identities and times are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

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


def generate_request(body: wire.ResponseBody, earlier: Sequence[wire.Item] = ()) -> GenerateRequest:
    """What a response asks for: the instructions, what was said ``earlier``, the input.

    But for ``text.format``: see ``structured``.
    """
    refuse(body, REFUSED)
    if "message.output_text.logprobs" in (body.include or ()):
        raise UnsupportedOptionError(
            "No engine on this route tells logprobs.", hint="Leave it out.", param="include"
        )
    messages = _messages(body, earlier)
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
        previous_response_id=body.previous_response_id,
        store=body.store is not False,
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        text=wire.TextOptions(format=_format(body)),
        tool_choice="auto",
    )


def given(body: wire.ResponseBody, identity: str) -> list[wire.Item]:
    """The input of a body that :func:`generate_request` takes, as it is kept."""
    said = body.input
    if isinstance(said, str):
        said = [wire.InputItem(role="user", content=said)]
    return [_item(one, f"msg_{identity}{at:04x}") for at, one in enumerate(said or ())]


def answered(response: wire.Response) -> list[wire.Item]:
    """The answer of a whole response, as what was said earlier."""
    return [
        wire.Item(id=one.id, role=one.role, content=[*one.content], status=one.status)
        for one in response.output
    ]


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
            input_tokens=read,
            output_tokens=written,
            total_tokens=read + written,
            input_tokens_details=wire.InputTokens(cached_tokens=result.units.cached_input_tokens),
        ),
    )


def _format(body: wire.ResponseBody) -> wire.TextFormat:
    return msgspec.convert((body.text or {}).get("format") or {}, wire.TextFormat)


def _messages(body: wire.ResponseBody, earlier: Sequence[wire.Item]) -> tuple[Message, ...]:
    found: list[Message] = []
    if body.instructions:
        found.append(Message(role="system", content=body.instructions))
    found += [Message(role=_role(one.role), content=_text(one)) for one in earlier]
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
    return Message(role=_role(one.role), content=joined(one.content, where, _KINDS))


def _role(role: wire.Role) -> Literal["system", "user", "assistant"]:
    return "system" if role == "developer" else role


def _text(one: wire.Item) -> str:
    return "".join(
        part.refusal if isinstance(part, wire.Refusal) else part.text for part in one.content
    )


def _item(one: wire.InputItem, identity: str) -> wire.Item:
    said = one.content or ""
    parts = [wire.InputPart(type="text", text=said)] if isinstance(said, str) else said
    role = one.role or "user"
    return wire.Item(id=identity, role=role, content=[_part(part, role) for part in parts])


def _part(part: wire.InputPart, role: wire.Role) -> wire.InputText | wire.OutputText | wire.Refusal:
    if part.type == "refusal":
        return wire.Refusal(refusal=part.refusal or "")
    kind = wire.OutputText if role == "assistant" else wire.InputText
    return kind(text=part.text or "")

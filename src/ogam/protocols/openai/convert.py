"""OpenAI's text bodies to Ogam's values and back. Pure: no clock, no input or output.

What no engine here can do is refused, never dropped: :func:`refuse` holds the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ogam.capabilities.base import Units
from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, Message
from ogam.errors import InvalidRequestError, UnsupportedOptionError
from ogam.protocols.openai import wire, wire_chat, wire_completions

# OpenAI's own bound.
MAX_STOPS = 4
# The vendor's default for completions, where chat has none.
COMPLETION_TOKENS = 16
# What one request may ask for in all, prompts x n: the bound that the vendor sets on n.
MAX_SEQUENCES = 128

# Fields that ask for something no engine here can do, with the values that ask for nothing.
_PENALTIES: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
}
CHAT_REFUSED: dict[str, tuple[Any, ...]] = {
    **_PENALTIES,
    "audio": (),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logprobs": (False,),
    "modalities": ([], ["text"]),
    "moderation": (),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "web_search_options": (),
}
COMPLETION_REFUSED: dict[str, tuple[Any, ...]] = {**_PENALTIES, "suffix": ("",), "logprobs": ()}


def refuse(body: Any, refused: Mapping[str, tuple[Any, ...]]) -> None:
    """UnsupportedOptionError for the first field of ``body`` that asks for what none can do."""
    for field, harmless in refused.items():
        value = getattr(body, field)
        if value is not None and value not in harmless:
            raise UnsupportedOptionError(
                f"No engine on this route can do what {field} asks for.",
                hint=f"Leave {field} out.",
                param=field,
            )


def chat_request(body: wire_chat.ChatBody) -> GenerateRequest:
    """What a chat asks for, but for ``response_format``: see ``structured``."""
    refuse(body, CHAT_REFUSED)
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise InvalidRequestError(
            "max_tokens and max_completion_tokens are given at once.",
            hint="Give max_completion_tokens alone.",
            param="max_tokens",
        )
    tokens = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    messages = tuple(_message(one, at) for at, one in enumerate(body.messages))
    if not any(one.content for one in messages):
        raise InvalidRequestError(
            "messages holds no text.", hint="Give at least one message.", param="messages"
        )
    return GenerateRequest(messages=messages, max_tokens=tokens, **_sampling(body))


def chat_body(request: GenerateRequest, model: str) -> wire_chat.ChatBody:
    """The chat that asks for ``request``; a bare prompt becomes the user's message.

    UnsupportedOptionError for ``max_length``, which counts a vendor's tokens of the prompt.
    """
    if request.max_length is not None:
        raise UnsupportedOptionError(
            "OpenAI's chat knows no max_length.", hint="Give max_tokens.", param="max_length"
        )
    messages = request.messages or (Message(role="user", content=request.prompt),)
    return wire_chat.ChatBody(
        model=model,
        messages=[wire_chat.Message(role=one.role, content=one.content) for one in messages],
        max_completion_tokens=request.max_tokens,
        n=None if request.n == 1 else request.n,
        repetition_penalty=None if request.repetition_penalty == 1 else request.repetition_penalty,
        seed=request.seed,
        stop=list(request.stop) or None,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
    )


def vendor_chat(
    request: GenerateRequest, model: str, *, own: bool, stream: bool = False
) -> wire_chat.ChatBody:
    """The chat that a vendor is sent: OpenAI's ``own``, or another that speaks its protocol.

    The others know ``max_tokens`` alone (Ollama) or too, take ``top_k`` and
    ``repetition_penalty`` (vLLM both), and have a default temperature of their own. OpenAI's is
    1, which is not written out to it; its newest models refuse any other, and ``max_tokens``.
    """
    body = chat_body(request, model)
    if own:
        if body.temperature == 1:
            body.temperature = None
        for field in ("top_k", "repetition_penalty"):
            if getattr(body, field) is not None:
                raise UnsupportedOptionError(
                    f"OpenAI's chat knows no {field}.", hint=f"Leave {field} out.", param=field
                )
        if len(request.stop) > MAX_STOPS:
            raise UnsupportedOptionError(
                f"OpenAI's chat takes {MAX_STOPS} stop strings, not {len(request.stop)}.",
                param="stop",
            )
    else:
        body.max_tokens, body.max_completion_tokens = body.max_completion_tokens, None
    if stream:
        body.stream, body.stream_options = True, wire.StreamOptions(include_usage=True)
    return body


def chat_reply(result: GenerateResult, *, identity: str, created: int) -> wire_chat.Chat:
    """A whole chat's reply."""
    return wire_chat.Chat(
        id=identity,
        created=created,
        model=result.model,
        choices=[
            wire_chat.Choice(
                index=index,
                message=wire_chat.Answer(content=one.text),
                finish_reason=one.finish_reason,
            )
            for index, one in enumerate(result.choices)
        ],
        usage=usage((result,)),
    )


def completion_requests(body: wire_completions.CompletionBody) -> list[GenerateRequest]:
    """One request for each prompt."""
    refuse(body, COMPLETION_REFUSED)
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise UnsupportedOptionError(
            "No engine on this route ranks its own answers, so best_of must equal n.",
            hint="Leave best_of out.",
            param="best_of",
        )
    prompts = texts(body.prompt, "prompt")
    if len(prompts) * (body.n or 1) > MAX_SEQUENCES:
        raise InvalidRequestError(
            f"{len(prompts)} prompts with n = {body.n or 1} are over {MAX_SEQUENCES} texts.",
            hint="Send fewer prompts at a time.",
            param="prompt",
        )
    tokens = COMPLETION_TOKENS if body.max_tokens is None else body.max_tokens
    sampling = _sampling(body)
    return [GenerateRequest(prompt=one, max_tokens=tokens, **sampling) for one in prompts]


def texts(given: str | list[str | int | list[int]], param: str) -> list[str]:
    """The texts of a body; UnsupportedOptionError for token numbers."""
    if isinstance(given, str):
        return [given]
    if not given:
        raise InvalidRequestError(f"{param} is an empty list.", hint="Give a text.", param=param)
    found = [one for one in given if isinstance(one, str)]
    if len(found) != len(given):
        raise UnsupportedOptionError(
            f"{param} holds token numbers; they belong to OpenAI's vocabularies.",
            hint="Send the text itself (LangChain: check_embedding_ctx_length=False).",
            param=param,
        )
    return found


def completion_choices(
    requests: list[GenerateRequest], results: list[GenerateResult], *, echo: bool
) -> list[wire_completions.CompletionChoice]:
    """The choices of all prompts, the first prompt's first."""
    found = [
        wire_completions.CompletionChoice(
            index=0,
            text=request.prompt + one.text if echo else one.text,
            finish_reason=one.finish_reason,
        )
        for request, result in zip(requests, results, strict=True)
        for one in result.choices
    ]
    for index, choice in enumerate(found):
        choice.index = index
    return found


def usage(results: Iterable[GenerateResult]) -> wire.Usage:
    """What several results read and wrote together."""
    units = sum((result.units for result in results), Units())
    return wire.Usage(
        prompt_tokens=units.input_tokens,
        completion_tokens=units.output_tokens,
        total_tokens=units.input_tokens + units.output_tokens,
        prompt_tokens_details=wire.PromptTokens(cached_tokens=units.cached_input_tokens),
    )


def _sampling(body: wire_chat.ChatBody | wire_completions.CompletionBody) -> dict[str, Any]:
    stops = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if len(stops) > MAX_STOPS:
        raise InvalidRequestError(
            f"{len(stops)} stop strings are too many; {MAX_STOPS} may be given.", param="stop"
        )
    given = {
        "n": body.n,
        "repetition_penalty": body.repetition_penalty,
        "seed": body.seed,
        "temperature": body.temperature,
        "top_k": body.top_k,
        "top_p": body.top_p,
    }
    return {"stop": stops, **{name: one for name, one in given.items() if one is not None}}


def _message(one: wire_chat.Message, at: int) -> Message:
    where = f"messages[{at}]"
    if one.role in ("tool", "function") or one.tool_calls or one.function_call or one.audio:
        raise UnsupportedOptionError(
            f"{where} is about tools or sound, which no engine on this route takes.",
            hint="Send texts of the roles system, user and assistant.",
            param=where,
        )
    content = one.refusal if one.content is None else one.content
    if content is None:
        raise InvalidRequestError(f"{where} has no content.", param=where)
    role = "system" if one.role == "developer" else one.role
    assert role not in ("tool", "function")
    return Message(role=role, content=joined(content, where))


def joined(content: str | list[Any], where: str, kinds: tuple[str, ...] = ("text",)) -> str:
    """The text of a message, its parts one after the other."""
    if isinstance(content, str):
        return content
    parts: list[str] = []
    for part in content:
        text = part.refusal if part.type == "refusal" else part.text
        if part.type not in (*kinds, "refusal"):
            raise UnsupportedOptionError(
                f"{where} holds a part of type {part.type!r}; the route's engine takes text only.",
                hint="Send text alone.",
                param=where,
            )
        if text is None:
            raise InvalidRequestError(f"{where} holds a part without text.", param=where)
        parts.append(text)
    return "".join(parts)

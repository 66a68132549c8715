"""Bodies of OpenAI's protocol that go on to a vendor as they came, but for the model's name and a
maximum: putting the maximum in, and the most they can be billed for.

A caller may mean harm, so the bound lets through only what it knows: every field, kind of
message and tool that is not named below is one whose cost nobody here can prove. The bound holds
for the bytes made of the dict that was judged, never for the ones that came in.

https://developers.openai.com/api/reference/resources/chat
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from ogam.capabilities.base import Units
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import PER_MESSAGE, PER_REQUEST, PER_TEXT, Unprovable

Path = Literal["chat/completions", "completions", "responses", "embeddings", "moderations"]
# The tools, functions and schemas of a request are described to the model in the vendor's words:
# 96 tokens were seen for an empty list.
# https://community.openai.com/t/chat-completions-overbilling-or-injecting-on-empty-tools-list-api-parameter-gpt-5-x-worse/1387200
PER_TOOLS = 1024
# No model writes as much; above it the sums would leave the ledger's integers.
_MOST_TOKENS, _MOST_SEQUENCES, _MOST_TEXTS = 10_000_000, 128, 100_000
_MAXIMUM: dict[str, tuple[str, ...]] = {
    "chat/completions": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "embeddings": (),
    "moderations": (),
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Fields that bill nothing beyond their own text.
_SHARED = _words(
    "model temperature top_p top_k min_p top_logprobs stream stream_options user metadata store "
    "safety_identifier service_tier prompt_cache_key prompt_cache_options"
)
_SAMPLED = _words(
    "frequency_penalty presence_penalty repetition_penalty logit_bias logprobs seed stop"
)
_TOOLED = _words("tools tool_choice parallel_tool_calls")
_FIELDS: dict[str, frozenset[str]] = {
    "chat/completions": _SHARED
    | _SAMPLED
    | _TOOLED
    | _words(
        "messages n max_tokens max_completion_tokens functions function_call response_format "
        "reasoning_effort verbosity modalities"
    ),
    "completions": _SHARED | _SAMPLED | _words("prompt suffix max_tokens n best_of"),
    "responses": _SHARED
    | _TOOLED
    | _words(
        "input instructions max_output_tokens text reasoning truncation include background "
        "max_tool_calls"
    ),
    "embeddings": _words("model input dimensions encoding_format user"),
}
_MESSAGE = _words(
    "type id status role content name refusal tool_calls tool_call_id function_call annotations "
    "reasoning_content phase"
)
_CALL = _words("type id status call_id caller namespace name arguments input output")
_PART = _words("type text refusal annotations logprobs prompt_cache_breakpoint")
_TEXTS = _words("text input_text output_text refusal")
_CALLS = _words("function_call custom_tool_call function_call_output custom_tool_call_output")


class _UnprovableError(Exception):
    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.said = Unprovable(reason=reason, hint=hint)


def with_maximum(path: Path, body: Mapping[str, Any], maximum: int) -> dict[str, Any]:
    """``body`` with ``maximum`` tokens to write, under the name of ``path``, where it has none."""
    names = _MAXIMUM[path]
    if not names or any(body.get(name) is not None for name in names):
        return dict(body)
    return {**{k: v for k, v in body.items() if k not in names}, names[0]: maximum}


def chat_body_bound(
    path: Path, body: Mapping[str, Any], size: int, price: Price
) -> Billing | Unprovable:
    """The most that ``body`` is billed for; ``size`` counts the bytes that are made of it.

    All that is read is in the body, so it has no more tokens than bytes. Unprovable says which
    part has no bound.
    """
    if price.bills == "nothing":
        return Billing()
    try:
        if price.bills != "tokens" or path not in _FIELDS:
            raise _UnprovableError(f"A price by {price.bills} says nothing about {path}.")
        _known(path, body)
        read, sequences = _READERS[path](body)
        output = 0 if path == "embeddings" else sequences * _maximum(path, body)
    except _UnprovableError as error:
        return error.said
    if any(body.get(one) is not None for one in ("tools", "functions", "response_format", "text")):
        read += PER_TOOLS
    return Billing(units=Units(input_tokens=size + PER_REQUEST + read, output_tokens=output))


# --- fields ------------------------------------------------------------------------------------

# Why a field has no bound, where more can be said than that it is not known.
_COSTLY: dict[str, str] = {
    "audio": "sound that a model makes is billed by tokens nobody can count before",
    "web_search_options": "a search is billed for itself and for all that it reads",
    "prediction": "what was predicted and not used is billed as well",
    "previous_response_id": "what the vendor kept of earlier turns is not in the request",
    "conversation": "what the vendor kept of the conversation is not in the request",
    "prompt": "a stored prompt is not in the request",
    "context_management": "the vendor writes a summary of its own",
    "echo": "the prompt is billed again",
}


def _known(path: str, body: Mapping[str, Any]) -> None:
    _only(body, _FIELDS[path], "The field")
    tier = body.get("service_tier")
    if tier not in (None, "auto", "default", "flex"):
        raise _UnprovableError(
            f"What service_tier {_short(tier)} costs is not known.", "Leave it out."
        )
    if body.get("modalities") not in (None, ["text"]):
        raise _UnprovableError("Only text has a bound.", 'Leave modalities out, or give ["text"].')
    cache = body.get("prompt_cache_options")
    if cache is not None and (
        not isinstance(cache, dict) or _of(cache, "ttl") not in (None, "30m")
    ):
        raise _UnprovableError("What keeping the prompt costs is not known.", "Leave ttl out.")
    reasoning = body.get("reasoning")
    if reasoning is not None and (
        not isinstance(reasoning, dict) or _of(reasoning, "mode") not in (None, "standard")
    ):
        raise _UnprovableError("This mode of reasoning has no bound.", "Leave reasoning.mode out.")
    for tool in _list(body, "tools"):
        kind = _type(tool)
        if kind not in ("function", "custom"):
            raise _UnprovableError(
                f"The tool {_short(kind)} runs at the vendor, and bills what nobody can foresee.",
                "Give tools of type function or custom alone.",
            )


def _only(values: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    if values.keys() <= known:
        return
    for name, value in values.items():
        if name not in known and value is not None:
            why = _COSTLY.get(name, "what it costs is not known")
            raise _UnprovableError(f"{what} {_short(name)} has no bound: {why}.", "Leave it out.")


def _maximum(path: str, body: Mapping[str, Any]) -> int:
    # Which of two a vendor obeys is not known: the larger counts.
    names = [name for name in _MAXIMUM[path] if body.get(name) is not None]
    if not names:
        raise _UnprovableError(
            "The request names no maximum of tokens to write.", f"Give {_MAXIMUM[path][0]}."
        )
    return max(_whole(body, name, _MOST_TOKENS) for name in names)


def _whole(body: Mapping[str, Any], name: str, most: int) -> int:
    """A whole number from 1 on; 1 where there is none. ``true`` and ``1.0`` are no numbers here."""
    value = body.get(name)
    if value is None:
        return 1
    if type(value) is not int or not 1 <= value <= most:
        raise _UnprovableError(
            f"{name} must be a whole number from 1 to {most:,}, not {_short(value)}."
        )
    return value


# --- what is read, beyond the bytes of the body; and how many sequences are written ------------


def _chat(body: Mapping[str, Any]) -> tuple[int, int]:
    messages = _list(body, "messages")
    for message in messages:
        _message(message)
    return PER_MESSAGE * len(messages), _whole(body, "n", _MOST_SEQUENCES)


def _responses(body: Mapping[str, Any]) -> tuple[int, int]:
    if not isinstance(body.get("instructions"), str | None):
        raise _UnprovableError("instructions must be text.")
    given = body.get("input")
    items = [] if isinstance(given, str) else _list(body, "input")
    for item in items:
        kind = _type(item)
        if kind in (None, "message"):
            _message(item)
        elif kind in _CALLS:
            _only(item, _CALL, "In a call of a tool")
            _content(item.get("output"))
        else:
            raise _UnprovableError(
                f"An item of type {_short(kind)} stands for text that is not in the request.",
                "Give messages, calls of functions and their outputs alone.",
            )
    return PER_MESSAGE * (len(items) + 2), 1


def _completions(body: Mapping[str, Any]) -> tuple[int, int]:
    count = _texts(body, "prompt")
    best = max(_whole(body, "n", _MOST_SEQUENCES), _whole(body, "best_of", _MOST_SEQUENCES))
    return PER_TEXT * count, count * best


def _embeddings(body: Mapping[str, Any]) -> tuple[int, int]:
    return PER_TEXT * _texts(body, "input"), 0


_READERS = {
    "chat/completions": _chat,
    "completions": _completions,
    "responses": _responses,
    "embeddings": _embeddings,
}


def _message(message: Any) -> None:
    _of(message, "role")
    _only(message, _MESSAGE, "In a message")
    _content(message.get("content"))
    for call in _list(message, "tool_calls"):
        if _type(call) not in (None, "function", "custom"):
            raise _UnprovableError("A call of a tool that runs at the vendor has no bound.")


def _content(content: Any) -> None:
    """Text, or parts that are text."""
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise _UnprovableError("The content of a message must be text or a list of parts.")
    for part in cast(list[Any], content):
        kind = _type(part)
        if kind not in _TEXTS:
            raise _UnprovableError(
                f"A part of type {_short(kind)} has no bound: how many tokens the vendor makes of "
                "it is not known.",
                "Send text alone, or to a model that no budget stands over.",
            )
        _only(part, _PART, "In a part")


def _texts(body: Mapping[str, Any], name: str) -> int:
    """How many texts there are: one, several, or such of token numbers."""
    given = body.get(name)
    if given is None or isinstance(given, str):
        return 1
    items = _list(body, name)
    if len(items) > _MOST_TEXTS:
        raise _UnprovableError(f"{name} holds more than {_MOST_TEXTS:,} texts.")
    if all(type(item) is int for item in items):
        return 1
    for item in items:
        numbers = cast(list[Any], item) if isinstance(item, list) else []
        if not isinstance(item, str | list) or any(type(one) is not int for one in numbers):
            raise _UnprovableError(f"{name} must be text, texts, or token numbers.")
    return len(items)


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _UnprovableError(f"{name} must be a list.")
    return cast(list[Any], value)


def _of(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise _UnprovableError(f"{_short(value)} stands where an object should.")
    return cast(dict[str, Any], value).get(name)


def _type(value: Any) -> str | None:
    found = _of(value, "type")
    if found is not None and not isinstance(found, str):
        raise _UnprovableError(f"{_short(found)} is no type.")
    return found


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"a {type(cast(object, value)).__name__}"
    # An int of a thousand digits is cut before it is written out.
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a larger number"
    return text if len(text) <= 40 else text[:40] + "…"

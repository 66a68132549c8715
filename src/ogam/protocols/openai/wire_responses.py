"""OpenAI's responses, as types.

https://developers.openai.com/api/reference/resources/responses
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from ogam.protocols.openai.wire import Body

Status = Literal["completed", "incomplete", "in_progress"]
Role = Literal["user", "assistant", "system", "developer"]


class InputPart(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A part of a message: ``input_text``, ``output_text``, ``refusal``; others are refused."""

    type: str
    text: str | None = None
    refusal: str | None = None


class InputItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message, with or without ``type``. Other types of item are refused."""

    type: str = "message"
    role: Role | None = None
    content: str | list[InputPart] | None = None


class ResponseBody(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What ``responses.create`` sends.

    Without effect: ``include`` (but for logprobs, which are refused), ``max_tool_calls``,
    ``parallel_tool_calls``, ``prompt_cache_*``, ``reasoning``, ``safety_identifier``,
    ``service_tier``, ``stream_options``, ``text.verbosity``, ``user``.
    """

    model: str
    input: str | list[InputItem] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    # Refused where they ask for something.
    background: bool | None = None
    context_management: list[Any] | None = None
    conversation: Any = None
    moderation: Any = None
    prompt: Any = None
    text: dict[str, Any] | None = None
    tool_choice: Any = None
    tools: list[Any] | None = None
    top_logprobs: int | None = None
    truncation: str | None = None
    # Without effect.
    include: list[str] | None = None
    max_tool_calls: int | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Any = None
    prompt_cache_retention: str | None = None
    reasoning: Any = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    stream_options: Any = None
    user: str | None = None


class InputText(msgspec.Struct, kw_only=True, tag_field="type", tag="input_text"):
    """The text of a message that a client sent."""

    text: str


class Refusal(msgspec.Struct, kw_only=True, tag_field="type", tag="refusal"):
    """A model's word that it will not."""

    refusal: str


class OutputText(msgspec.Struct, kw_only=True, tag_field="type", tag="output_text"):
    """The text of an answer."""

    text: str
    annotations: list[Any] = []
    logprobs: list[Any] = []


class OutputMessage(msgspec.Struct, kw_only=True):
    """The one item of an answer."""

    id: str
    status: Status
    content: list[OutputText]
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"


class Item(msgspec.Struct, kw_only=True):
    """A message of a conversation that is kept.

    https://developers.openai.com/api/reference/resources/responses/subresources/input_items
    """

    id: str
    role: Role
    content: list[InputText | OutputText | Refusal]
    status: Status = "completed"
    type: Literal["message"] = "message"


class InputTokens(msgspec.Struct, kw_only=True):
    """What a vendor behind a route read from its cache; nobody tells what is written to it."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokens(msgspec.Struct, kw_only=True):
    """No model here reasons in tokens of its own."""

    reasoning_tokens: int = 0


class ResponseUsage(msgspec.Struct, kw_only=True):
    """What was read and written, in the engine's own tokens."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokens = msgspec.field(default_factory=InputTokens)
    output_tokens_details: OutputTokens = msgspec.field(default_factory=OutputTokens)


class Incomplete(msgspec.Struct, kw_only=True):
    """Why an answer ends early."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class TextFormat(msgspec.Struct, kw_only=True):
    """Plain text, or JSON, which is given back as it was asked for."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | UnsetType = UNSET
    description: Any = UNSET
    schema: dict[str, Any] | UnsetType = UNSET
    strict: Any = UNSET


class TextOptions(msgspec.Struct, kw_only=True):
    """How the text is shaped."""

    format: TextFormat = msgspec.field(default_factory=TextFormat)


class Response(msgspec.Struct, kw_only=True):
    """The reply, with the settings it was made with."""

    id: str
    created_at: int
    model: str
    status: Status
    output: list[OutputMessage]
    completed_at: int | None = None
    usage: ResponseUsage | None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] = {}
    temperature: float = 1.0
    top_p: float = 1.0
    text: TextOptions = msgspec.field(default_factory=TextOptions)
    object: Literal["response"] = "response"
    background: bool = False
    error: None = None
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    store: bool = True
    tool_choice: Literal["auto"] = "auto"
    tools: list[Any] = []
    top_logprobs: int = 0
    truncation: Literal["disabled"] = "disabled"


class ResponseDeleted(msgspec.Struct, kw_only=True):
    """A response is gone."""

    id: str
    deleted: bool = True
    object: Literal["response"] = "response"


class ResponseQuery(msgspec.Struct, kw_only=True):
    """https://developers.openai.com/api/reference/resources/responses/methods/retrieve.

    ``include`` is without effect; a response is not streamed a second time, so ``stream`` and
    ``starting_after`` are refused.
    """

    include: Any = None
    include_obfuscation: bool | None = None
    starting_after: int | None = None
    stream: bool | None = None


class ItemsQuery(msgspec.Struct, kw_only=True):
    """https://developers.openai.com/api/reference/resources/responses/subresources/input_items.

    ``include`` is without effect.
    """

    after: str | None = None
    include: Any = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"


class ResponseEvent(msgspec.Struct, kw_only=True, tag_field="type"):
    """The base of a stream's events; ``type`` is the event's name.

    https://developers.openai.com/api/reference/resources/responses/streaming-events
    """

    sequence_number: int


class Created(ResponseEvent, kw_only=True, tag="response.created"):
    """The first event."""

    response: Response


class InProgress(ResponseEvent, kw_only=True, tag="response.in_progress"):
    """The second event."""

    response: Response


class ItemAdded(ResponseEvent, kw_only=True, tag="response.output_item.added"):
    """The answer begins."""

    item: OutputMessage
    output_index: int = 0


class PartAdded(ResponseEvent, kw_only=True, tag="response.content_part.added"):
    """Its text begins."""

    item_id: str
    part: OutputText
    output_index: int = 0
    content_index: int = 0


class TextAdded(ResponseEvent, kw_only=True, tag="response.output_text.delta"):
    """More text."""

    item_id: str
    delta: str
    output_index: int = 0
    content_index: int = 0
    logprobs: list[Any] = []


class TextDone(ResponseEvent, kw_only=True, tag="response.output_text.done"):
    """All text."""

    item_id: str
    text: str
    output_index: int = 0
    content_index: int = 0
    logprobs: list[Any] = []


class PartDone(ResponseEvent, kw_only=True, tag="response.content_part.done"):
    """The text ends."""

    item_id: str
    part: OutputText
    output_index: int = 0
    content_index: int = 0


class ItemDone(ResponseEvent, kw_only=True, tag="response.output_item.done"):
    """The answer ends."""

    item: OutputMessage
    output_index: int = 0


class Completed(ResponseEvent, kw_only=True, tag="response.completed"):
    """The last event of an answer that ended by itself."""

    response: Response


class Incompleted(ResponseEvent, kw_only=True, tag="response.incomplete"):
    """The last event of an answer that reached its limit."""

    response: Response


class Failed(ResponseEvent, kw_only=True, tag="error"):
    """The last event of an answer that broke."""

    message: str
    code: str | None = None
    param: str | None = None

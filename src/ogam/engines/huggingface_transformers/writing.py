"""generate: transformers' own loop over the tokens, with the choice of each one made here.

transformers draws tokens from torch's one global generator, so that two callers at once would
change each other's text. Here its loop only takes the likeliest token, and a processor of ours,
the last in line, has left it one: drawn from the call's own generator.
"""

# transformers leaves most of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, TextDelta
from ogam.engines._writing import TEMPLATE, Growing, Take, room, streamed
from ogam.engines.huggingface_transformers.loading import Loaded, failures, quiet
from ogam.errors import InvalidRequestError

# Below this logits are divided by nearly nothing, and only the likeliest token is left.
_COLD = 1e-4


def stream(loaded: Loaded, request: GenerateRequest) -> Iterator[TextDelta | GenerateResult]:
    """Yield text as it comes, the whole result last.

    At most 128 new tokens where the request names no limit, never more than the context leaves.
    ``max_length`` counts the prompt too, but for a model of two parts (T5), where it counts what
    the second one writes, its first mark included: both as transformers' pipelines do. The
    repetition penalty comes first (it counts a causal model's prompt too), then temperature,
    ``top_k`` and ``top_p``. Messages are put into the model's own chat template, or one after
    the other where it has none. Raises TooLargeError for a prompt that fills the context.
    """
    ids = prompt(loaded, request)
    two_parts = bool(loaded.config.is_encoder_decoder)
    context = _context(loaded.config)
    most = room(1 if two_parts else len(ids), request, context)
    if two_parts:
        room(len(ids), GenerateRequest(prompt="x"), context)
    ends = _ends(loaded)
    sequences = [
        Growing(lambda some: decode(loaded, some), ends, request.stop, most)
        for _ in range(request.n)
    ]
    yield from streamed(
        loaded.ref,
        len(ids),
        sequences,
        start=lambda take: loaded.pool.submit(_run, loaded, ids, most, request, take),
        failures=failures,
    )


def prompt(loaded: Loaded, request: GenerateRequest) -> list[int]:
    """The tokens to read; the mark of a beginning where there is no text at all."""
    tokenizer = loaded.reader
    text = request.prompt
    special = True
    if request.messages:
        if getattr(tokenizer, "chat_template", None):
            turns = [{"role": one.role, "content": one.content} for one in request.messages]
            try:
                text = tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=True
                )
            except Exception as error:  # a template refuses roles with an error of its own
                raise InvalidRequestError(
                    f"The model's chat template refuses these messages: {error}",
                    param="messages",
                ) from None
            special = False  # the template has written the marks
        else:
            text = "".join(
                TEMPLATE[one.role].replace("{content}", one.content) for one in request.messages
            )
    with loaded.lock:
        ids = list(tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])
    if not ids:
        first = tokenizer.bos_token_id
        ids = [min(_ends(loaded), default=0) if first is None else first]
    return ids


def decode(loaded: Loaded, ids: Sequence[int]) -> str:
    """The text of token ids."""
    return loaded.reader.decode(
        list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


def _run(
    loaded: Loaded,
    ids: list[int],
    most: int,
    request: GenerateRequest,
    take: Take,
) -> None:
    """Give ``take`` each token as (sequence, id) until it says True for all of them."""
    import torch

    rows = torch.tensor([ids] * request.n)
    spent = 1 if loaded.config.is_encoder_decoder else len(ids)
    stopped: set[int] = set()

    def over(tokens: Any, *_: Any, **__: Any) -> Any:
        if tokens.shape[1] > spent:
            for index, token in enumerate(tokens[:, -1].tolist()):
                if index not in stopped and take(index, token):
                    stopped.add(index)
        return torch.tensor([index in stopped for index in range(request.n)])

    with torch.inference_mode():
        loaded.model.generate(
            rows,
            attention_mask=torch.ones_like(rows),
            generation_config=settings(loaded, max_new_tokens=most),
            logits_processor=_choosers(request),
            stopping_criteria=[over],
        )


def settings(loaded: Loaded, **options: Any) -> Any:
    """Settings of transformers with the model's own marks, and no taste of its maker's."""
    with quiet():
        ours: Any = copy.deepcopy(loaded.model.generation_config)
        ends = sorted(_ends(loaded))
        plain: dict[str, Any] = {
            "do_sample": False,
            "num_beams": 1,
            "num_return_sequences": 1,
            "temperature": None,
            "top_k": None,
            "top_p": None,
            "min_p": None,
            "typical_p": None,
            "repetition_penalty": None,
            "no_repeat_ngram_size": None,
            "max_length": None,
            "min_length": None,
            "eos_token_id": ends or None,
            "pad_token_id": ends[0] if ends else 0,
        }
        for name, value in {**plain, **options}.items():
            setattr(ours, name, value)
    return ours


def _choosers(request: GenerateRequest) -> Any:
    """What stands between the model's logits and the choice, in order."""
    import torch
    from transformers import (
        LogitsProcessorList,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    line: Any = LogitsProcessorList()
    if request.repetition_penalty != 1:
        line.append(RepetitionPenaltyLogitsProcessor(penalty=float(request.repetition_penalty)))
    temperature = 1.0 if request.temperature is None else request.temperature
    if temperature < _COLD or request.top_k == 1 or request.top_p == 0:
        return line
    if temperature != 1:
        line.append(TemperatureLogitsWarper(float(temperature)))
    if request.top_k is not None:
        line.append(TopKLogitsWarper(request.top_k))
    if request.top_p is not None and request.top_p < 1:
        line.append(TopPLogitsWarper(float(request.top_p)))
    seed = os.urandom(8) if request.seed is None else str(request.seed).encode()
    draw = torch.Generator().manual_seed(
        int.from_bytes(hashlib.blake2b(seed, digest_size=7).digest(), "big")
    )

    def pick(_: Any, scores: Any) -> Any:
        chosen = torch.multinomial(scores.float().softmax(-1), 1, generator=draw)
        return torch.full_like(scores, float("-inf")).scatter_(1, chosen, 0.0)

    line.append(pick)
    return line


def _ends(loaded: Loaded) -> frozenset[int]:
    """The tokens that end a text."""
    found: set[int] = set()
    for one in (loaded.model.generation_config.eos_token_id, loaded.reader.eos_token_id):
        found.update(one if isinstance(one, list | tuple) else () if one is None else (one,))
    return frozenset(found)


def _context(config: Any) -> int:
    """How many tokens the model reads; without bound where its positions have none."""
    text: Any = config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0 and config.model_type not in ("t5", "mt5", "umt5"):
            return value
    return 1_000_000

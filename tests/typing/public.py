"""What a type checker sees of the library; `make check` runs pyright over it, nothing runs it."""

from __future__ import annotations

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import ogam
from ogam.capabilities.speech_synthesis import SpeakResult
from ogam.capabilities.text_generation import GenerateResult, TextDelta
from ogam.client import Stream


def blocking() -> None:
    assert_type(ogam.similarity("a", "b"), float)
    assert_type(ogam.similarity(["a"], ["b"]), NDArray[np.float32])
    assert_type(ogam.speak("a", rate=1.2), SpeakResult)
    assert_type(ogam.generate_stream("a"), Stream[TextDelta, GenerateResult])
    ogam.speak("a", rte=1)  # pyright: ignore[reportCallIssue]


async def asynchronous() -> None:
    async with ogam.AsyncOgam() as client:
        assert_type(await client.similarity("a", "b"), float)
        assert_type(await client.speak("a"), SpeakResult)

"""Text is kept only where a route says so, and without what it takes out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ogam import config as configuration
from ogam.capabilities.speech_recognition import TranscribeRequest, TranscribeResult
from ogam.capabilities.text_generation import GenerateRequest, GenerateResult
from ogam.config import Config, Route, Routes, Server
from ogam.errors import ConfigurationError
from ogam.gateway.dispatch import Gateway
from ogam.media import Audio


def _kept(folder: Path, route: Route, capability: Any, request: Any, kind: Any) -> Any:
    async def main() -> Any:
        own = Gateway(Config(routes=Routes(**{capability: route}), server=Server(data=str(folder))))
        ledger = await own.spending.open()
        await own.answer(capability, request, kind)
        await ledger.flush()
        row = (await ledger.calls())[0]
        found = await ledger.recorded(row.id)
        await own.aclose()
        return found

    return asyncio.run(main())


ASKED = GenerateRequest(prompt="Write to kim@example.org, she waits.", max_tokens=5)


def test_nothing_is_kept_unless_the_route_says_so(tmp_path: Path) -> None:
    assert _kept(tmp_path, Route(models=("fake",)), "generate", ASKED, GenerateResult) is None


def test_request_and_answer_are_kept_without_what_is_taken_out(tmp_path: Path) -> None:
    route = Route(models=("fake",), record=True, redact=(r"[\w.]+@[\w.]+",))
    asked, answered = _kept(tmp_path, route, "generate", ASKED, GenerateResult)
    assert asked["prompt"] == "Write to [redacted], she waits."
    assert answered["choices"][0]["text"]
    assert "example.org" not in str(answered)


def test_of_sound_its_hash_is_kept(tmp_path: Path) -> None:
    route = Route(models=("fake",), record=True)
    request = TranscribeRequest(audio=Audio.from_pcm(bytes(3200), 16000))
    asked, answered = _kept(tmp_path, route, "transcribe", request, TranscribeResult)
    assert len(asked["audio"]["sha256"]) == 64
    assert "text" in answered


def test_a_pattern_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "ogam.toml"
    file.write_text('[routes.generate]\nmodels = ["fake"]\nrecord = true\nredact = ["("]\n')
    with pytest.raises(ConfigurationError, match="regular expression"):
        configuration.load({"OGAM_CONFIG": str(file)})

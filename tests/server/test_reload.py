"""ogam.toml is followed while the server runs; a wrong one is told and not taken."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ogam import config as configuration
from ogam import toml_lines
from ogam.capabilities.embedding import EmbedRequest, EmbedResult
from ogam.errors import ConfigurationError, OgamError
from ogam.gateway.dispatch import Gateway
from ogam.server import reload


def _write(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, file)


async def _until(done: Callable[[], bool]) -> None:
    for _ in range(500):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come")


def test_a_change_holds_from_the_next_request_on(tmp_path: Path) -> None:
    file = tmp_path / "ogam.toml"
    _write(file, '[routes]\nembed = ["no-such-engine"]\n')
    told: list[str] = []

    def load() -> configuration.Config:
        return configuration.load({"OGAM_CONFIG": str(file)})

    async def main() -> None:
        gateway = Gateway(load())
        request = EmbedRequest(texts=("a",))
        with pytest.raises(OgamError):
            await gateway.answer("embed", request, EmbedResult)
        task = asyncio.ensure_future(reload.follow(gateway, file, load, told.append, 0.01))
        await asyncio.sleep(0.05)
        _write(file, '[routes]\nembed = ["fake"]\n[server]\nport = 1\n')
        await _until(lambda: len(told) == 1)
        assert (await gateway.answer("embed", request, EmbedResult)).engine == "fake"
        assert "At the next start: server." in told[0]

        _write(file, '[routes]\nembed = ["fake"]\nspeek = ["espeak"]\n')
        await _until(lambda: len(told) == 2)
        assert f"{file}:3" in told[1]
        assert "stay as they were" in told[1]
        assert (await gateway.answer("embed", request, EmbedResult)).engine == "fake"

        file.unlink()
        _write(file, '[vendors.mine]\nurl = "http://x"\n')
        await _until(lambda: len(told) == 3)
        assert "protocol" in told[2]
        task.cancel()
        await gateway.aclose()

    asyncio.run(main())


def test_the_line_of_what_is_wrong_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ogam.toml"
    for text, line in (
        ("threads = 2\nnonsense = 1\n", 2),
        ('[routes]\nspeak = ["a"]\nsee = 5\n', 3),
        ('[routes.speak]\nmodels = ["a"]\ncache = "sometimes"\n', 3),
        ('[routes]\ngenerate = [\n  "a",\n  { model = "b", wait = 3 },\n]\n', 4),
        ('[vendors.x]\nprotocol = "openai"\n[vendors.y]\nprotocol = "smoke"\n', 4),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            configuration.load({"OGAM_CONFIG": str(file)})
        assert f"{file}:{line} " in str(caught.value), (text, str(caught.value))


def test_a_line_that_is_nowhere_is_not_named() -> None:
    assert toml_lines.line("a = 1\n[b]\nc = 2\n", ["x", "y"]) is None
    assert toml_lines.line("", []) is None

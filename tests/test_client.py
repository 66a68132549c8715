"""The library: the same methods blocking and not, cancellation, deadlines, streams."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

import ogam
from ogam import AsyncOgam, Ogam, registry
from ogam.capabilities.base import CAPABILITIES, ModelRef, Units, checkpoint
from ogam.capabilities.embedding import EmbedRequest, EmbedResult, Vectors
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult, SpeechChunk
from ogam.config import Config, Routes
from ogam.errors import (
    DeadlineError,
    EngineError,
    InvalidRequestError,
    NotConfiguredError,
    UnknownEngineError,
    UnsupportedOptionError,
)

FAKE = Config(routes=Routes(**dict.fromkeys(CAPABILITIES, ("fake",))))


@pytest.fixture
def client() -> Iterator[Ogam]:
    with Ogam(FAKE) as made:
        yield made


class SlowEngine:
    """Works until it is told to stop, and says so."""

    capabilities: ClassVar = frozenset({"embed", "speak"})
    requires: ClassVar = ()
    extra: ClassVar = ""
    stopped: ClassVar = threading.Event()
    started: ClassVar = threading.Event()

    def __init__(self, ref: ModelRef) -> None:
        self.ref = ref

    def close(self) -> None: ...

    def embed(self, request: EmbedRequest) -> EmbedResult:
        if request.texts[0] == "break":
            raise ZeroDivisionError("two\nlines")
        self.started.set()
        try:
            for _ in range(1000):
                time.sleep(0.01)
                checkpoint()
        except BaseException:
            self.stopped.set()
            raise
        raise AssertionError("was not stopped")

    def voices(self) -> tuple[()]:
        return ()

    def speak_stream(self, request: SpeakRequest) -> Iterator[SpeechChunk | SpeakResult]:
        try:
            while True:
                yield SpeechChunk(pcm=b"\0\0", sample_rate=8000)
        finally:
            self.stopped.set()


class VendorEngine:
    """Asynchronous, as an engine behind a network is."""

    capabilities: ClassVar = frozenset({"embed", "generate"})
    requires: ClassVar = ()
    extra: ClassVar = ""

    def __init__(self, ref: ModelRef) -> None:
        self.ref = ref

    def close(self) -> None: ...

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        await asyncio.sleep(0)
        return EmbedResult(
            engine="vendor",
            model=self.ref.name,
            units=Units(input_tokens=1),
            vectors=Vectors.from_rows([[1.0, 0.0]] * len(request.texts)),
        )


@pytest.fixture(autouse=True)
def _engines(monkeypatch: pytest.MonkeyPatch) -> None:
    SlowEngine.stopped.clear()
    SlowEngine.started.clear()
    monkeypatch.setitem(registry.BUILT_IN, "slow", f"{__name__}:SlowEngine")
    monkeypatch.setitem(registry.BUILT_IN, "vendor", f"{__name__}:VendorEngine")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


def public(cls: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(cls).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


def test_blocking_and_asynchronous_clients_have_the_same_methods_and_signatures() -> None:
    core, blocking = public(AsyncOgam), public(Ogam)
    assert set(core) - {"aclose"} == set(blocking)
    for name in set(blocking) - {"close"}:
        assert inspect.signature(core[name]) == inspect.signature(blocking[name]), name
        assert core[name].__doc__ == blocking[name].__doc__


def test_module_functions_are_the_default_clients_methods() -> None:
    for name in set(public(Ogam)) - {"close"}:
        assert getattr(ogam, name).__func__ is getattr(Ogam, name)


def test_every_capability_answers(client: Ogam) -> None:
    assert client.generate("Once", seed=1).text == client.generate("Once", seed=1).text
    spoken = client.speak("hello there")
    assert client.transcribe(spoken.audio).text
    assert client.see(np.zeros((9, 9, 3), np.uint8)).text
    assert client.translate("hi", "ko").text == "[ko] hi"
    assert client.translate("hi", "ko", glossary={"hi": "ho"}).text == "[ko] ho"
    (two,) = client.translate("hi", "ko", alternatives=2).translations
    assert two.alternatives == ("[ko] hi (2)",)
    assert client.classify("x", ["a", "b"]).label in ("a", "b")
    assert len(client.embed(["a", "b"]).vectors) == 2
    assert client.voices()[0].id == "ada"
    assert spoken.timing.total > 0


def test_messages_are_a_conversation(client: Ogam) -> None:
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert client.generate(talk, seed=1).text
    with pytest.raises(InvalidRequestError, match="message"):
        client.generate([{"role": "nobody", "content": "Hi"}])


def test_similarity_is_a_float_for_two_texts_and_a_matrix_for_batches(client: Ogam) -> None:
    one = client.similarity("a b", "a c")
    assert isinstance(one, float) and 0 < one < 1
    assert client.similarity("same words", "same words") == pytest.approx(1.0)
    matrix = client.similarity(["a b", "x"], ["a c", "x", "y"])
    assert matrix.shape == (2, 3)
    assert matrix[0, 0] == pytest.approx(one, abs=1e-6)
    assert matrix[1, 1] == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(InvalidRequestError):
        client.similarity([], ["a"])


def test_streams_give_pieces_and_then_the_result(client: Ogam) -> None:
    with client.generate_stream("Once", seed=1) as stream:
        with pytest.raises(InvalidRequestError, match="not ended"):
            _ = stream.result
        text = "".join(delta.text for delta in stream)
    assert text == stream.result.text
    assert 0 < (stream.result.timing.first or 0) <= stream.result.timing.total


def test_leaving_a_stream_stops_the_engine(client: Ogam) -> None:
    with client.speak_stream("x", model="slow") as stream:
        next(stream)
    assert SlowEngine.stopped.wait(5)


def test_cancelling_a_call_stops_the_engine() -> None:
    async def main() -> None:
        async with AsyncOgam(FAKE) as client:
            task = asyncio.create_task(client.embed("x", model="slow"))
            await asyncio.to_thread(SlowEngine.started.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert SlowEngine.stopped.wait(5)


def test_a_deadline_stops_the_engine() -> None:
    with Ogam(FAKE, timeout=0.1) as client, pytest.raises(DeadlineError, match=r"0\.1 seconds"):
        client.embed("x", model="slow")
    assert SlowEngine.stopped.wait(5)


def test_an_engines_own_failure_is_one_line_and_keeps_its_cause(client: Ogam) -> None:
    with pytest.raises(EngineError, match="slow failed: ZeroDivisionError: two lines") as caught:
        client.embed("break", model="slow")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_asynchronous_engine_is_awaited(client: Ogam) -> None:
    assert client.embed("x", model="vendor").vector == (1.0, 0.0)


def test_live_sound_may_come_asynchronously() -> None:
    async def microphone() -> AsyncIterator[bytes]:
        for _ in range(8):
            await asyncio.sleep(0)
            yield bytes(16_000)

    async def main() -> tuple[list[str], str]:
        async with AsyncOgam(FAKE) as client, client.transcribe_stream(microphone()) as stream:
            heard = [piece.text async for piece in stream]
            return heard, stream.result.text

    heard, text = asyncio.run(main())
    assert len(heard) > 3 and heard[-1] == text


def test_a_microphone_that_fails_ends_the_stream_with_its_error() -> None:
    async def microphone() -> AsyncIterator[bytes]:
        yield bytes(16_000)
        raise OSError("unplugged")

    async def main() -> None:
        async with AsyncOgam(FAKE) as client, client.transcribe_stream(microphone()) as stream:
            async for _ in stream:
                pass

    with pytest.raises(OSError, match="unplugged"):
        asyncio.run(main())


def test_work_runs_in_no_more_threads_than_configured() -> None:
    async def main() -> int:
        async with AsyncOgam(Config(threads=2, routes=FAKE.routes)) as client:
            before = threading.active_count()
            await asyncio.gather(*(client.embed(f"text {n}") for n in range(50)))
            return threading.active_count() - before

    assert asyncio.run(main()) <= 2


def test_it_works_inside_a_running_event_loop(client: Ogam) -> None:
    async def notebook_cell() -> str:
        return client.generate("Once", seed=1).text

    assert asyncio.run(notebook_cell())


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.embed("x", model="nobody"), UnknownEngineError),
        (lambda c: c.embed("x", model=""), NotConfiguredError),
        (lambda c: c.embed(""), InvalidRequestError),
        (lambda c: c.embed("a\0b"), InvalidRequestError),
        (lambda c: c.embed("\ud800"), InvalidRequestError),
        (lambda c: c.embed([]), InvalidRequestError),
        (lambda c: c.embed(3), InvalidRequestError),
        (lambda c: c.speak("x" * 600_000), InvalidRequestError),
        (lambda c: c.speak("x", rate=float("nan")), InvalidRequestError),
        (lambda c: c.classify("x", ["a", "a"]), InvalidRequestError),
        (lambda c: c.see(np.zeros((9, 9), np.uint8), features=["smells"]), InvalidRequestError),
        (lambda c: c.see(np.zeros((9, 9), np.uint8), model="slow"), UnsupportedOptionError),
        (lambda c: c.generate("x", temperature=9), InvalidRequestError),
        (lambda c: c.generate("x", n=0), InvalidRequestError),
        (lambda c: c.transcribe(b"nonsense"), InvalidRequestError),
    ],
)
def test_wrong_use_is_a_clear_error(client: Ogam, call: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        call(client)
    assert "\n" not in str(caught.value)


def test_a_capability_without_a_model_says_what_to_configure() -> None:
    nothing = Config(routes=Routes(generate=()))
    with Ogam(nothing) as client, pytest.raises(NotConfiguredError, match=r"\[routes\] generate"):
        client.generate("x")


def test_see_shares_features_among_engines_and_joins_what_they_find() -> None:
    image = np.full((60, 60, 3), 200, np.uint8)
    with Ogam(Config()) as client:
        colors = client.see(image, features=["image_properties"])
        assert (colors.model, colors.colors != ()) == ("opencv", True)
        both = client.see(image, features=["text", "image_properties"])
        assert both.model == "rapidocr,opencv"
        assert both.units.image_features == 2
        assert client.see(image, model=both.model, features=both.features).colors == both.colors
        with pytest.raises(UnsupportedOptionError, match="labels"):
            client.see(image, features=["labels"])


def test_importing_ogam_loads_nothing_heavy() -> None:
    code = (
        "import sys, ogam; heavy = {'torch','numpy','PIL','av','onnxruntime','cv2','typer','rich',"
        "'pocketsphinx','rapidocr','aiohttp','starlette','matplotlib'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_interpreter_with_work_in_flight_ends_quietly() -> None:
    code = (
        "import ogam\n"
        "s = ogam.generate_stream('x', model='fake'); next(s)\n"
        "ogam.embed('x', model='fake')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

"""How fast `espeak` speaks, against eSpeak NG's own command line and its library in-process.

    python benchmarks/synthesis.py [--rounds 9]

The peers take turns with Ogam in each round; the table gives medians and Ogam's ratio to
each peer in the same run. The command line is measured where ``espeak-ng`` is installed
(Debian: ``apt-get install espeak-ng``); it may be another version than the library's.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import espeakng_loader

from ogam.capabilities.base import ModelRef
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeechChunk
from ogam.engines.espeak import EspeakEngine

RATE = 22050
SENTENCES = (
    "Speech comes out of a loudspeaker as pressure, and a listener hears words.",
    "The first sound should come long before the last one has been made.",
    "Nobody waits for a whole page when one sentence is ready to be heard.",
)
# Seconds to the first sound, seconds to the last, seconds of speech.
Times = tuple[float, float, float]


def words(count: int) -> str:
    every = " ".join(SENTENCES).split()
    return " ".join(every[number % len(every)] for number in range(count))


def ogam(engine: EspeakEngine, text: str) -> Times:
    start, first, size = time.perf_counter(), 0.0, 0
    for piece in engine.speak_stream(SpeakRequest(text=text, voice="en-us")):
        if isinstance(piece, SpeechChunk):
            first = first or time.perf_counter() - start
            size += len(piece.pcm)
    return first, time.perf_counter() - start, size / 2 / RATE


def command_line(text: str) -> Times:
    start, first, size = time.perf_counter(), 0.0, -44
    with subprocess.Popen(
        ["espeak-ng", "-v", "en-us", "--stdin", "--stdout"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(text.encode())
        process.stdin.close()
        while data := process.stdout.read1(1 << 16):
            size += len(data)
            if size > 0:
                first = first or time.perf_counter() - start
    return first, time.perf_counter() - start, size / 2 / RATE


class InProcess:
    """The library called by ctypes in this process: no pipe, no isolation, no words."""

    def __init__(self) -> None:
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        assert self._library.espeak_Initialize(2, 200, data, 0x8000) == RATE
        self._callback = callback(self._take)
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_SetVoiceByName(b"en-us")

    def _take(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count:
            self._first = self._first or time.perf_counter()
            self._parts.append(ctypes.string_at(samples, 2 * count))
        return 0

    def speak(self, text: str) -> Times:
        """Say it at once."""
        self._parts: list[bytes] = []
        self._first, start = 0.0, time.perf_counter()
        data = text.encode()
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, 1, None, None)
        sound = b"".join(self._parts)
        return self._first - start, time.perf_counter() - start, len(sound) / 2 / RATE


def cold() -> Times:
    """A new engine whose worker has to start: what a command line pays."""
    engine = EspeakEngine(ModelRef(name="espeak", engine="espeak"))
    times = ogam(engine, "hello")
    engine.close()
    return times


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    rounds = arguments.parse_args().rounds
    engine = EspeakEngine(ModelRef(name="espeak", engine="espeak"))
    runs: dict[str, Callable[[str], Times]] = {"ogam": lambda text: ogam(engine, text)}
    if shutil.which("espeak-ng"):
        runs["espeak-ng command"] = command_line
    else:
        print("espeak-ng is not installed; its command line is left out.", file=sys.stderr)
    runs["library, in-process"] = InProcess().speak
    print(f"{'text':>11}  {'who':<20} {'first':>9} {'whole':>9} {'x real time':>11}  ogam to it")
    for name, text, times in (("5 words", words(5), 20), ("1,000 words", words(1000), 1)):
        taken: dict[str, list[Times]] = {who: [] for who in runs}
        for run in runs.values():
            run(text)  # what is read from disk once is not measured
        for _ in range(rounds * times):
            for who, run in runs.items():
                taken[who].append(run(text))
        own = [statistics.median(column) for column in zip(*taken["ogam"], strict=True)]
        for who, rows in taken.items():
            first, whole, sound = (statistics.median(column) for column in zip(*rows, strict=True))
            print(
                f"{name:>11}  {who:<20} {first * 1000:>6.1f} ms {whole * 1000:>6.1f} ms "
                f"{sound / whole:>11.0f}  first {own[0] / first:.2f}, whole {own[1] / whole:.2f}"
            )
    engine.close()
    starts = [cold()[1] for _ in range(rounds)]
    print(f"'hello' with the start of the worker: {statistics.median(starts) * 1000:.0f} ms")


if __name__ == "__main__":
    main()

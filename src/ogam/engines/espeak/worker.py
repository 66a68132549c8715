"""The process that holds eSpeak NG: reads speeches on stdin, writes sound on stdout.

Run by path, never imported by Ogam. It knows nothing of Ogam and imports only what starts
fast (``python -I -S`` with ctypes answers in some 25 ms). A process of its own, because

- eSpeak NG is GPL-3.0-or-later and Ogam is not: the two share pipes, not an address space;
- the library is one set of global variables, so it can say one thing at a time;
- it is C that reads whatever text it is given: if it dies, it dies here.

Frames, both ways: one letter, the length of the body (uint32), the body; little-endian.

In: ``S`` speak (uint16 rate, uint16 pitch, uint16 flags, uint16 length of the voice's name,
the name, the text as UTF-8); ``X`` stop speaking; ``L`` list the voices.
Out: ``A`` sound (uint16 number of events, the events as 4 x uint32: type, position, length,
sample; then 16-bit samples); ``D`` done; ``E`` an error, in words;
``L`` the voices, a line each: identifier, gender, name, then priority and language by turns,
parted by tabs.
"""

# Types of the library are written as ctypes sees them; its header is the reference:
# https://github.com/espeak-ng/espeak-ng/blob/1.52.0/src/include/espeak-ng/speak_lib.h
from __future__ import annotations

import _ctypes
import _thread
import ctypes
import os
import signal
import struct
import sys

TYPE_CHECKING = False  # typing itself would take 5 ms to import
if TYPE_CHECKING:
    from typing import Any

_SYNCHRONOUS, _DONT_EXIT, _UTF8, _SSML = 2, 0x8000, 1, 0x10
_RATE, _PITCH = 1, 3
_SAMPLE_RATE = 22050
_BUFFER_MS = 200  # 20 ms spoke 511 x real time, 200 ms 583, 1,000 ms 565
_HEADER = struct.Struct("<cI")
_SPEAK = struct.Struct("<HHHH")
_EVENT = struct.Struct("<IIII")


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_ON_SOUND = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))
_ON_FILE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p)


class _Espeak:
    """The library, loaded anew for each speech.

    What one speech leaves behind (phases of oscillators, the noise, the last voice) changes
    the next, and nothing in the API resets it. Unloading does, for 0.1 ms.
    """

    def __init__(self, library: str, data: str, pipes: _Pipes) -> None:
        self._library, self._data, self._pipes = library, os.fsencode(data), pipes
        self._on_sound, self._on_file = _ON_SOUND(self._sound), _ON_FILE(self._file)
        self._libc = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
        self._load()

    def _load(self) -> None:
        self._lib: Any = ctypes.CDLL(self._library)
        self._lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self._lib.espeak_Synth.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        rate = self._lib.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, self._data, _DONT_EXIT)
        if rate != _SAMPLE_RATE:
            raise OSError("eSpeak NG cannot read its data")
        self._lib.espeak_SetSynthCallback(self._on_sound)
        # Without it <audio src="..."> would have the library read any file of this machine.
        self._lib.espeak_SetUriCallback(self._on_file)
        # Noise comes from two generators: the C library's, and one seeded with the time.
        self._libc.srand(1)
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(1))

    def reload(self) -> None:
        """Forget all that was said."""
        self._lib.espeak_Terminate()
        free: Any = getattr(_ctypes, "dlclose", None) or vars(_ctypes)["FreeLibrary"]
        free(self._lib._handle)
        self._load()

    def speak(self, voice: bytes, rate: int, pitch: int, ssml: bool, text: bytes) -> None:
        """Speak, sending sound as it is made."""
        if self._lib.espeak_SetVoiceByName(voice) != 0:
            return self._pipes.send(b"E", b"eSpeak NG cannot load the voice " + voice)
        self._lib.espeak_SetParameter(_RATE, rate, 0)
        self._lib.espeak_SetParameter(_PITCH, pitch, 0)
        flags = _UTF8 | (_SSML if ssml else 0)
        if self._lib.espeak_Synth(text, len(text) + 1, 0, 1, 0, flags, None, None) != 0:
            return self._pipes.send(b"E", b"eSpeak NG refused the text")
        return self._pipes.send(b"D", b"")

    def voices(self) -> None:
        """Send the list of voices."""
        lines: list[str] = []
        listed = self._lib.espeak_ListVoices(None)
        for voice in listed:
            if not voice:
                break
            entry = voice.contents
            fields = [entry.identifier.decode(), str(entry.gender), entry.name.decode()]
            at = entry.languages
            # A list in one block: priority (a byte), name, NUL, ... and a priority of 0.
            while priority := ctypes.c_ubyte.from_address(at).value:
                language = ctypes.string_at(at + 1)
                fields += [str(priority), language.decode()]
                at += len(language) + 2
            lines.append("\t".join(fields))
        self._pipes.send(b"L", "\n".join(lines).encode())

    def _sound(self, samples: int | None, count: int, events: Any) -> int:
        packed: list[bytes] = []
        for event in events:
            if event.type == 0:
                break
            packed.append(_EVENT.pack(event.type, event.position, event.length, event.sample))
        pcm = ctypes.string_at(samples, 2 * count) if samples and count else b""
        if packed or pcm:
            head = len(packed).to_bytes(2, "little")
            self._pipes.send(b"A", b"".join((head, *packed, pcm)))
        return int(self._pipes.stopped)

    def _file(self, _kind: int, _uri: bytes, _base: bytes) -> int:
        return 1  # do not play it; say the text inside the element


class _Pipes:
    """stdin and stdout. A thread listens, so that ``X``, or the end, is heard while speaking."""

    def __init__(self) -> None:
        self.stopped = False
        self._job: tuple[bytes, bytes] = (b"", b"")
        self._waiting = _thread.allocate_lock()
        self._waiting.acquire()
        # The library may print; only frames may reach the real stdout.
        self._out = os.dup(1)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        _thread.start_new_thread(self._listen, ())

    def next(self) -> tuple[bytes, bytes]:
        self._waiting.acquire()
        return self._job

    def send(self, kind: bytes, body: bytes) -> None:
        left = memoryview(_HEADER.pack(kind, len(body)) + body)
        try:
            while left:
                left = left[os.write(self._out, left) :]
        except OSError:
            os._exit(0)  # nobody listens any more

    def _listen(self) -> None:
        while True:
            kind, size = _HEADER.unpack(self._read(_HEADER.size))
            body = self._read(size)
            self.stopped = kind == b"X"
            # The other side sends one job and waits for its end, so the place is free.
            if kind != b"X":
                self._job = (kind, body)
                self._waiting.release()

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            part = os.read(0, min(size, 1 << 16))
            if not part:
                os._exit(0)  # the parent closed the pipe, or is no more
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def main(library: str, data: str) -> None:
    """Serve until stdin ends."""
    # Ctrl-C is for the parent, which then ends this process by closing its stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipes = _Pipes()
    try:
        espeak = _Espeak(library, data, pipes)
        while True:
            kind, body = pipes.next()
            if kind == b"L":
                espeak.voices()
                continue
            rate, pitch, ssml, size = _SPEAK.unpack_from(body)
            end = _SPEAK.size + size
            espeak.speak(body[_SPEAK.size : end], rate, pitch, bool(ssml), body[end:])
            espeak.reload()
    except OSError as error:
        pipes.send(b"E", str(error).encode())


if __name__ == "__main__":
    main(*sys.argv[1:3])

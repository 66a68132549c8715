"""One PocketSphinx decoder in a process of its own, spoken to over pipes.

Why a process: PocketSphinx holds Python's interpreter lock while it decodes (ten seconds of
speech stop every other thread for two), its object belongs to one thread, and some of its
errors end the process. Run as a script; it imports no module of Ogam. Knows nothing of
files, recordings longer than an utterance, or Ogam's results.

A message is four bytes of length, little-endian, and that much MessagePack. The first is a
:class:`Setup`, answered by :class:`Ready` or :class:`Refused`; each one after it is a
:class:`Decode` or a :class:`Listen`, answered by :class:`Heard`.
"""

from __future__ import annotations

import itertools
import os
import re
import struct
import sys
import tempfile
from typing import IO, Any

import msgspec

FRAMES_PER_SECOND = 100
_VARIANT = re.compile(r"\(\d+\)$")  # "the(2)" is the second pronunciation of "the"
# A phrase to expect is one entry of the dictionary: this mark, its words joined by "_".
_PHRASE = "~"
# Readings looked through for each distinct one asked for: most differ in silences only.
_NBEST_PER_ALTERNATIVE = 20


class Lexicon(msgspec.Struct, frozen=True):
    """The words of a language other than the library's own, and how they follow each other.

    ``dictionary`` is a file with a pronunciation a line: a word as it is written, and its phones;
    a word may have several lines, which follow each other. ``language_model`` is one in small
    letters that the library reads (ARPA). ``weights`` are its ``lw``, ``fwdflatlw`` and
    ``bestpathlw``, ``insertion`` its ``wip``.
    """

    dictionary: str
    language_model: str
    weights: tuple[float, float, float]
    insertion: float


class Setup(msgspec.Struct, frozen=True, tag=True):
    """What a worker listens for, all its life; at most one of the first three is not empty.

    ``keywords`` are (phrase, threshold). Without a ``lexicon`` it hears American English.
    """

    grammar: str = ""
    keywords: tuple[tuple[str, float], ...] = ()
    phrases: tuple[str, ...] = ()
    lexicon: Lexicon | None = None


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The setup is wrong: words without a pronunciation, or the library's own complaint."""

    unknown: tuple[str, ...] = ()
    complaint: str = ""


class Decode(msgspec.Struct, frozen=True, tag=True):
    """A whole utterance, 16 kHz 16-bit mono."""

    pcm: bytes
    alternatives: int = 1


class Listen(msgspec.Struct, frozen=True, tag=True):
    """The next part of an utterance; ``first`` starts a new one and forgets the last."""

    pcm: bytes
    first: bool


class Heard(msgspec.Struct, frozen=True, tag=True):
    """Words as (text, start, end, confidence), in seconds from the start of the utterance.

    For Listen ``text`` only.
    """

    text: str = ""
    words: tuple[tuple[str, float, float, float], ...] = ()
    alternatives: tuple[str, ...] = ()


Message = Setup | Ready | Refused | Decode | Listen | Heard
_decoder = msgspec.msgpack.Decoder(Message)


def send(pipe: IO[bytes], message: Message) -> None:
    """Write one message."""
    body = msgspec.msgpack.encode(message)
    pipe.write(struct.pack("<I", len(body)) + body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Message | None:
    """Read one message; None when the other side is gone."""
    head = pipe.read(4)
    if len(head) < 4:
        return None
    (size,) = struct.unpack("<I", head)
    body = pipe.read(size)
    return _decoder.decode(body) if len(body) == size else None


class _RefusalError(Exception):
    def __init__(self, refused: Refused) -> None:
        self.refused = refused


class _Ear:
    """A decoder with one search."""

    def __init__(self, setup: Setup, *, quick: bool) -> None:
        import pocketsphinx

        self._spots = bool(setup.keywords)
        self._open = False
        # How words are written that are not all small letters.
        self._spelling: dict[str, str] = {}
        # A third of the default bound on active states: 2 % less time, 101 of 431 words wrong
        # instead of 102. It pays for the silence that the engine puts around an utterance.
        options: dict[str, Any] = {"loglevel": "ERROR", "maxhmmpf": 10_000}
        if setup.lexicon is not None:
            lw, fwdflatlw, bestpathlw = setup.lexicon.weights
            options |= {"lw": lw, "fwdflatlw": fwdflatlw, "bestpathlw": bestpathlw}
            options |= {"wip": setup.lexicon.insertion, "lm": setup.lexicon.language_model}
            if setup.grammar or setup.keywords:
                # Phones that only resemble what is said fall out of the library's own beams, and
                # its third pass then ends in the middle of a command: 38 and 37 of 40 German and
                # Spanish commands right instead of 22 and 18, in a third more time.
                options |= {"beam": 1e-80, "wbeam": 1e-60, "pbeam": 1e-80, "bestpath": False}
        if setup.grammar or setup.keywords:
            options["lm"] = None  # 27 MB less to load
        if quick:
            # First pass only: what is heard so far is replaced when the utterance ends.
            options |= {"fwdflat": False, "bestpath": False}
        with tempfile.TemporaryDirectory() as folder:
            if setup.lexicon is not None:
                options["dict"] = os.path.join(folder, "dictionary")
                self._spelling = _numbered(setup.lexicon.dictionary, options["dict"])
            # The library has no types.
            self._sphinx: Any = pocketsphinx.Decoder(**options)  # pyright: ignore
        if setup.grammar:
            self._use_grammar(setup.grammar)
        elif setup.keywords:
            self._use_keywords(setup.keywords)
        elif setup.phrases:
            self._expect(setup.phrases)

    def decode(self, pcm: bytes, alternatives: int) -> Heard:
        """An utterance from its beginning to its end."""
        sphinx = self._sphinx
        # Forgets the noise and the cepstral mean of what came before (0.1 ms): the same
        # utterance gives the same words after whatever other one.
        sphinx.reinit_feat()
        sphinx.start_utt()
        # The whole utterance at once: the cepstral mean is taken over all of it. Fed in
        # pieces, the mean starts from a guess: 107 of 219 words wrong instead of 49.
        sphinx.process_raw(pcm, full_utt=True)
        sphinx.end_utt()
        words = self._words()
        best = " ".join(word for word, *_ in words)
        readings = [best]
        if alternatives > 1 and best and not self._spots:
            nbest = itertools.islice(sphinx.nbest() or (), alternatives * _NBEST_PER_ALTERNATIVE)
            for one in nbest:
                text = self._plain(one.hypstr or "")
                if text and text not in readings:
                    readings.append(text)
                if len(readings) == alternatives:
                    break
        return Heard(text=best, words=words, alternatives=tuple(readings))

    def listen(self, pcm: bytes, *, first: bool) -> Heard:
        """What can be said of an utterance that goes on."""
        sphinx = self._sphinx
        if first:
            self._end()
            sphinx.reinit_feat()
            # The mean of the first part stands for the utterance's until more is heard.
            sphinx.start_utt()
            sphinx.process_raw(pcm, no_search=True, full_utt=True)
            mean = sphinx.get_cmn(False)
            sphinx.end_utt()
            sphinx.reinit_feat()
            sphinx.set_cmn(mean)
            sphinx.start_utt()
            self._open = True
        if pcm:
            sphinx.process_raw(pcm)
        if self._spots:
            return Heard(text=" ".join(word for word, *_ in self._words()))
        found = sphinx.hyp()
        return Heard(text=self._plain(found.hypstr) if found is not None else "")

    def _end(self) -> None:
        if self._open:
            self._open = False
            self._sphinx.end_utt()

    def _words(self) -> tuple[tuple[str, float, float, float], ...]:
        found: list[tuple[str, float, float, float]] = []
        for segment in sorted(self._sphinx.seg() or (), key=lambda one: one.start_frame):
            text = segment.word.strip()
            # <s>, <sil>, [NOISE] and ++BREATH++ are sounds, not words.
            if not text or text[0] in "<[+(":
                continue
            parts = self._plain(text).split()
            start = segment.start_frame / FRAMES_PER_SECOND
            each = (segment.end_frame + 1) / FRAMES_PER_SECOND - start
            # A phrase's words share its time by their letters.
            letters = sum(map(len, parts))
            for part in parts:
                end = start + each * len(part) / letters
                found.append((part, start, end, min(max(segment.prob, 0.0), 1.0)))
                start = end
        return tuple(found)

    def _plain(self, text: str) -> str:
        """Words as a person writes them: no variant numbers, no marks of phrases."""
        words: list[str] = []
        for word in text.split():
            bare = _VARIANT.sub("", word)
            words += bare[1:].split("_") if bare.startswith(_PHRASE) else [bare]
        return " ".join(self._spelling.get(word, word) for word in words)

    def _use_grammar(self, grammar: str) -> None:
        _complaints()
        try:
            fsg = self._sphinx.parse_jsgf(grammar)
        except ValueError:
            raise _RefusalError(Refused(complaint=_complaints() or "it does not parse")) from None
        with tempfile.TemporaryDirectory() as folder:
            # The only way to ask a grammar for its words.
            path = os.path.join(folder, "grammar.fsg")
            fsg.writefile(path)
            with open(path, encoding="utf-8") as file:
                fields = [line.split() for line in file]
        self._check({one[4] for one in fields if len(one) == 5 and one[0] == "TRANSITION"})
        self._sphinx.add_fsg("asked", fsg)
        self._sphinx.activate_search("asked")

    def _use_keywords(self, keywords: tuple[tuple[str, float], ...]) -> None:
        self._check({word for phrase, _ in keywords for word in phrase.split()})
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "keywords")
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{phrase} /{threshold:g}/\n" for phrase, threshold in keywords)
            self._sphinx.add_kws("asked", path)
        self._sphinx.activate_search("asked")

    def _expect(self, phrases: tuple[str, ...]) -> None:
        sphinx = self._sphinx
        self._check({word for phrase in phrases for word in phrase.split()})
        model = sphinx.get_lm(sphinx.current_search())
        for phrase in dict.fromkeys(phrases):
            words = phrase.split()
            entry = _PHRASE + "_".join(words)
            sphinx.add_word(entry, " ".join(map(sphinx.lookup_word, words)), False)
            # As likely as the average word of the model, which a rare word is far from.
            model.add_word(entry, 1.0)
        sphinx.add_lm("asked", model)
        sphinx.activate_search("asked")

    def _check(self, words: set[str]) -> None:
        unknown = sorted(word for word in words if self._sphinx.lookup_word(word) is None)
        if unknown:
            raise _RefusalError(Refused(unknown=tuple(unknown)))


def _numbered(dictionary: str, target: str) -> dict[str, str]:
    """Write a dictionary as the library takes it: small letters, the variants of a word numbered.

    Returns how the words with capitals are written. Small letters, so that a word of a grammar
    is found however it is spelled.
    """
    spelling: dict[str, str] = {}
    with (
        open(dictionary, encoding="utf-8") as source,
        open(target, "w", encoding="utf-8", newline="\n") as file,
    ):
        last, number = "", 1
        for line in source:
            word, _, phones = line.partition(" ")
            small = word.lower()
            if small != word:
                spelling[small] = word
            number = number + 1 if small == last else 1
            last = small
            file.write(f"{small}({number}) {phones}" if number > 1 else f"{small} {phones}")
    return spelling


_log: IO[bytes] | None = None


def _complaints() -> str:
    """What the library wrote to stderr since the last call: the first error's own words."""
    if _log is None:
        return ""
    _log.seek(0)
    lines = _log.read().decode(errors="replace").splitlines()
    _log.seek(0)
    _log.truncate()
    errors = [line.split(": ", 2)[-1] for line in lines if line.startswith("ERROR")]
    return errors[0] if errors else ""


def main() -> None:
    """Serve one parent until it closes the pipe."""
    global _log
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    with tempfile.TemporaryFile() as log:
        _log = log
        # The C library writes to both; neither may reach the pipe.
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        setup = receive(requests)
        if not isinstance(setup, Setup):
            return
        try:
            ear = _Ear(setup, quick=False)
        except _RefusalError as refusal:
            send(answers, refusal.refused)
            return
        send(answers, Ready())
        quick: _Ear | None = None
        while (job := receive(requests)) is not None:
            if isinstance(job, Decode):
                send(answers, ear.decode(job.pcm, job.alternatives))
            elif isinstance(job, Listen):
                quick = quick or _Ear(setup, quick=True)
                send(answers, quick.listen(job.pcm, first=job.first))
            _complaints()  # it keeps the log from growing


if __name__ == "__main__":
    main()

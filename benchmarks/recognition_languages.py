"""Word error rate of what hears German and Spanish, on set-aside sentences said by eSpeak NG.

The peer is PocketSphinx's own English on English sentences said by the same voices: how hard
these voices are for its acoustic model. Run: python benchmarks/recognition_languages.py DATA
where DATA holds deu/pairs.tsv and spa/pairs.tsv of Tatoeba, as starter/recipes/speech.py takes
them. A sentence is said by one of two voices at one of two speeds, in turn; commands by all four.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from recognition import distance, words

from ogam import registry
from ogam.capabilities.base import ModelRef
from ogam.capabilities.speech_recognition import RecognitionOptions, TranscribeRequest
from ogam.capabilities.speech_synthesis import SpeakRequest
from ogam.engines.espeak import EspeakEngine
from ogam.engines.pocketsphinx import PocketSphinxEngine
from ogam.media import Audio

sys.path.append(str(Path(__file__).parents[1] / "starter" / "recipes"))
from speech import sentences, side

WAYS = (("", 0.9), ("+f3", 1.1), ("", 1.1), ("+f3", 0.9))
SENTENCES = 100
COMMANDS = {
    "de": "mach das Licht an; mach das Licht aus; öffne die Tür; schließe die Tür; öffne das "
    "Fenster; schließe das Fenster; spiele Musik; nächstes Lied; lauter bitte; leiser bitte; wie "
    "spät ist es; wie wird das Wetter morgen; ruf meine Mutter an; schreib eine Nachricht; stell "
    "den Wecker auf sieben; wo ist der Bahnhof; fahr nach Hause; such ein Restaurant; hör auf; "
    "gute Nacht",
    "es": "enciende la luz; apaga la luz; abre la puerta; cierra la puerta; abre la ventana; "
    "cierra la ventana; pon música; siguiente canción; más alto por favor; más bajo por favor; qué "
    "hora es; qué tiempo hace mañana; llama a mi madre; escribe un mensaje; despiértame a las "
    "siete; dónde está la estación; vamos a casa; busca un restaurante; para; buenas noches",
    "en-us": "turn on the light; turn off the light; open the door; close the door; open the "
    "window; close the window; play music; next song; louder please; quieter please; what time is "
    "it; how is the weather tomorrow; call my mother; write a message; set the alarm to seven; "
    "where is the station; drive home; find a restaurant; stop it; good night",
}


def chosen(texts: Sequence[str]) -> list[str]:
    """Sentences of 3 to 14 words without digits, by a hash."""
    fit = [one for one in texts if not re.search(r"\d", one) and 3 <= len(words(one)) <= 14]
    return sorted(dict.fromkeys(fit), key=lambda one: hashlib.sha256(one.encode()).digest())[
        :SENTENCES
    ]


def english(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [one for one in (line.partition("\t")[0] for line in lines) if side(one) == "test"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    data: Path = parser.parse_args().data
    speaker = EspeakEngine(ModelRef(name="espeak", engine="espeak"))
    rows = {
        "de": ("starter/speech-de", sentences(data / "deu" / "pairs.tsv")["test"]),
        "es": ("starter/speech-es", sentences(data / "spa" / "pairs.tsv")["test"]),
        "en-us": ("pocketsphinx", english(data / "deu" / "pairs.tsv")),
    }
    print(f"{'':8}{'WER':>8}{'male':>8}{'female':>8}{'commands':>10}{'right':>8}{'factor':>8}")
    for voice, (name, texts) in rows.items():
        engine = PocketSphinxEngine(registry.parse(name))

        def said(text: str, way: int, voice: str = voice) -> Audio:
            timbre, rate = WAYS[way % len(WAYS)]
            request = SpeakRequest(text=text, voice=voice + timbre, rate=rate)
            return Audio.from_pcm(speaker.speak(request).audio.pcm(16_000, 1).data, 16_000)

        def heard(
            audio: Audio, grammar: str | None = None, engine: PocketSphinxEngine = engine
        ) -> str:
            options = RecognitionOptions(grammar=grammar)
            return engine.transcribe(TranscribeRequest(audio=audio, options=options)).text

        wrong, total = Counter[str](), Counter[str]()
        heard(said("eins", 0))  # loads the model
        spent = seconds = 0.0
        for at, text in enumerate(chosen(texts)):
            audio, timbre = said(text, at), WAYS[at % len(WAYS)][0]
            began = time.perf_counter()
            found = heard(audio)
            spent += time.perf_counter() - began
            seconds += len(audio.pcm(16_000, 1).data) / 32_000
            wrong[timbre] += distance(words(text), words(found))
            total[timbre] += len(words(text))
        commands = [one.strip() for one in COMMANDS[voice].split(";")]
        grammar = f"#JSGF V1.0; grammar c; public <c> = {' | '.join(commands)};"
        tries = [(one, way) for one in commands for way in range(len(WAYS))]
        results = [(one, heard(said(one, way), grammar)) for one, way in tries]
        missed = sum(distance(words(one), words(found)) for one, found in results)
        right = sum(words(one) == words(found) for one, found in results)
        print(
            f"{voice:8}{wrong.total() / total.total():8.3f}"
            f"{wrong[''] / total['']:8.3f}{wrong['+f3'] / total['+f3']:8.3f}"
            f"{missed / sum(len(words(one)) for one, _ in tries):10.3f}"
            f"{right:5}/{len(tries)}{spent / seconds:8.2f}",
            flush=True,
        )
        engine.close()
    speaker.close()


if __name__ == "__main__":
    main()

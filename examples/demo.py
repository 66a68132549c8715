"""Everything at once, on the repository's own samples: what `make demo` runs.

Leaves in out/: hello.wav, hello.mp3, annyeong.wav, seen.png, receipt.png, receipt.txt,
transcript.txt, transcript.srt, similarity.csv, similarity.png.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import ogam
from ogam.capabilities import subtitles
from ogam.media import files

ROOT = Path(__file__).parent.parent
SAMPLES, OUT = ROOT / "samples", ROOT / "out"
SENTENCES = [
    "A man is playing the guitar.",
    "Someone makes music.",
    "The chef cuts the vegetables.",
    "A cook prepares dinner.",
    "The rocket left the launch pad.",
    "A spacecraft lifts off.",
]

summary = Table("sense", "input", "answer", "by", "seconds", title="Ogam on this machine")


def row(sense: str, given: str, answer: str, result: object) -> None:
    """One line of the summary."""
    short = answer if len(answer) <= 60 else answer[:57] + "…"
    summary.add_row(sense, given, short, result.model, f"{result.timing.total:.2f}")


def speak() -> None:
    """English as WAV and MP3, Korean as WAV."""
    hello = ogam.speak("Hello. This is Ogam, speaking on your own machine.")
    hello.audio.save(OUT / "hello.wav")
    hello.audio.save(OUT / "hello.mp3")
    row("speak", "Hello. This is Ogam, …", f"{hello.audio.duration:.1f} s of speech", hello)
    korean = ogam.speak("안녕하세요. 저는 오감입니다.", language="ko")
    korean.audio.save(OUT / "annyeong.wav")
    row("speak", "안녕하세요. …", f"{korean.audio.duration:.1f} s of speech", korean)


def see() -> None:
    """A portrait's face and colours, and a receipt's text and QR code."""
    portrait = ogam.Image(SAMPLES / "photos" / "astronaut.jpg")
    seen = ogam.see(portrait, features=["faces", "objects", "image_properties"])
    seen.draw().save(OUT / "seen.png")
    found = f"{len(seen.faces)} face, mostly {', '.join(c.hex for c in seen.colors[:3])}"
    row("see", "astronaut.jpg", found, seen)
    receipt = ogam.Image(SAMPLES / "ocr" / "receipt.png")
    read = ogam.see(receipt, features=["document_text", "barcodes"])
    read.draw().save(OUT / "receipt.png")
    files.write(OUT / "receipt.txt", (read.text + "\n").encode())
    row("see", "receipt.png", " / ".join(read.text.splitlines()), read)
    row("see", "receipt.png", read.barcodes[0].text if read.barcodes else "no code", read)


def hear() -> None:
    """A recording of 1961, as text and as subtitles."""
    heard = ogam.transcribe(SAMPLES / "speech" / "jfk.flac")
    files.write(OUT / "transcript.txt", (heard.text + "\n").encode())
    files.write(OUT / "transcript.srt", subtitles.srt(heard).encode())
    row("transcribe", "jfk.flac (11 s)", heard.text, heard)


def compare() -> None:
    """How near six sentences are to one another, as a table and as a picture."""
    vectors = ogam.embed(SENTENCES)
    answer = f"{vectors.vectors.dimensions} numbers each"
    row("embed", f"{len(SENTENCES)} sentences", answer, vectors)
    matrix = ogam.similarity(SENTENCES, SENTENCES)
    with files.replacing(OUT / "similarity.csv") as path, path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", *SENTENCES])
        writer.writerows(
            [sentence, *(f"{value:.3f}" for value in line)]
            for sentence, line in zip(SENTENCES, matrix, strict=True)
        )
    figure = Figure(figsize=(8, 6.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(matrix, vmin=0, vmax=1, cmap="viridis")
    axes.set_xticks(range(len(SENTENCES)), SENTENCES, rotation=35, ha="right")
    axes.set_yticks(range(len(SENTENCES)), SENTENCES)
    for (y, x), value in np.ndenumerate(matrix):
        color = "black" if value > 0.6 else "white"
        axes.text(x, y, f"{value:.2f}", ha="center", va="center", color=color)
    axes.set_title("Cosine similarity of sentences (all-MiniLM-L6-v2)")
    with files.replacing(OUT / "similarity.png") as path:
        figure.savefig(path, dpi=110)
    kinds = ogam.classify(SENTENCES[2], ["cooking", "music", "space travel"])
    row("classify", SENTENCES[2], f"{kinds.label} ({kinds.score:.0%})", kinds)


def main() -> None:
    """Run all of it and show what came out."""
    OUT.mkdir(exist_ok=True)
    for sense in (speak, see, hear, compare):
        sense()
    console = Console()
    console.print(summary)
    console.print("generate and translate have no model yet: see `ogam doctor`.")
    for path in sorted(OUT.iterdir()):
        console.print(f"  {path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped.")
    except ogam.OgamError as error:
        sys.exit(f"error: {error}")

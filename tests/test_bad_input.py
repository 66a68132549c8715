"""Whatever is given to the engines that ship: one line that says what was wrong, and no more."""

from __future__ import annotations

import os
import random
import struct
import zlib
from pathlib import Path

import pytest

from ogam.cli import main
from ogam.media import wav

ROOT = Path(__file__).parent.parent
JFK = str(ROOT / "samples" / "speech" / "jfk.flac")
RECEIPT = str(ROOT / "samples" / "ocr" / "receipt.png")


def bomb() -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1_000_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    noise = random.Random(1).randbytes(20_000)
    ten_hours = bytearray(wav.write(bytes(3200), 16_000, 1))
    ten_hours[40:44] = (36_000 * 32_000).to_bytes(4, "little")
    one = zlib.compress(b"\x00" * 4)
    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", head), (b"IDAT", one), (b"IEND", b""))
    )
    for name, data in {
        "empty.wav": b"",
        "empty.jpg": b"",
        "random.wav": noise,
        "random.jpg": noise,
        "one.png": pixel,
        "bomb.png": bomb(),
        "zero.wav": wav.write(b"", 16_000, 1),
        "ten.wav": bytes(ten_hours),
        "big.txt": b"word " * 200_000,
        "nul.txt": b"a\0b",
        "latin.txt": "é".encode("latin-1"),
    }.items():
        (folder / name).write_bytes(data)
    return folder


CASES = [
    ("transcribe missing.wav", 1, "no file"),
    ("see missing.jpg", 1, "no file"),
    ("transcribe empty.wav", 1, "empty"),
    ("see empty.jpg", 1, "empty"),
    ("transcribe random.wav", 1, "not audio"),
    ("see random.jpg", 1, "not a picture"),
    ("see one.png", 1, "1 x 1"),
    ("see bomb.png", 1, "50,000,000 pixels"),
    ("transcribe zero.wav", 1, "0 seconds"),
    ("transcribe ten.wav", 1, "10.0 hours"),
    ("speak -f big.txt -o x.wav", 1, "1,000,000 characters"),
    ("speak hi --voice nobody -o x.wav", 1, "no voice 'nobody'"),
    ("speak hi --language tlh -o x.wav", 1, "does not speak 'tlh'"),
    ("speak hi --model nobody -o x.wav", 1, "no engine 'nobody'"),
    ("embed hi --model starter/nobody", 1, "no model 'starter/nobody'"),
    ("speak  -o x.wav", 1, "empty"),
    ("embed ", 1, "nothing to embed"),
    ("speak -f nul.txt -o x.wav", 1, "NUL"),
    ("speak -f latin.txt -o x.wav", 1, "not UTF-8"),
    (f"see {RECEIPT} --features barcodes -o /dev/full", 1, "No space left"),
    ("speak hi -o no/folder/x.wav", 1, "mkdir -p no/folder"),
    ("speak hi -o x.doc", 1, ".mp3"),
    ("speak hi -o noending", 1, "without an ending"),
    (f"transcribe {RECEIPT}", 1, "image/png"),
    (f"see {JFK}", 1, "audio/flac"),
    ("see https://example.com/z.png", 1, "does not fetch"),
    ("see .", 1, "is a folder"),
    ("generate hi -m nothing", 1, "no engine 'nothing'"),
    ("translate hi --to pl", 1, "does not translate into 'pl'"),
    ("classify hi -m starter/all-MiniLM-L6-v2", 1, "labels"),
    (f"transcribe {JFK} --language ko", 1, "does not hear 'ko'"),
    (f"see {RECEIPT} --features smell", 1, "no feature 'smell'"),
    (f"see {RECEIPT} --features labels", 1, "finds labels"),
    ("embed hi --dimensions 5000", 1, "384"),
    ("speak hi --rate 99 -o x.wav", 1, "rate"),
    ("speak hi --rate fast", 2, "--rate"),
    ("nonsense", 2, "nonsense"),
    ("speak --nonsense", 2, "--nonsense"),
]


@pytest.mark.parametrize(("line", "code", "says"), CASES, ids=[case[0][:40] for case in CASES])
def test_it_is_refused_in_one_line(
    line: str,
    code: int,
    says: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if "/dev/full" in line and not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    monkeypatch.chdir(files)
    before = sorted(os.listdir())
    assert main(line.split(" ")) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("ogam: error: ") and err.count("\n") == 1 and says in err
    assert sorted(os.listdir()) == before, "nothing is left behind"


@pytest.mark.parametrize("text", ["🙂", "안녕 hello こんにちは 🙂", "&<>[[x]]", "1" * 300])
def test_emoji_and_mixed_scripts_are_spoken_and_embedded(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["speak", text, "-o", "x.wav"]) == 0
    assert main(["embed", text, "-o", "x.npy"]) == 0
    assert capfd.readouterr().err == ""
    assert {path.name for path in tmp_path.iterdir()} == {"x.wav", "x.npy"}

"""The command as a process: exit codes, one-line errors, pipes, full disks, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ogam as library
from ogam.media import Audio, wav

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, pipes and devices")


def start(*arguments: str, **settings: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ogam", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **settings,
    )


def one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1


def test_version_and_help(shell):
    assert shell("--version").out == f"ogam {library.__version__}\n"
    told = shell("--help")
    assert told.code == 0
    assert all(verb in told.out for verb in ("generate", "speak", "see", "transcribe", "doctor"))
    assert "\x1b[" not in told.out


def test_speak_writes_the_named_file(shell, tmp_path):
    assert shell("speak", "hello", "-o", "x.wav").code == 0
    assert Audio(str(tmp_path / "x.wav")).duration == pytest.approx(0.25)
    assert os.listdir(tmp_path) == ["x.wav"]


def test_sound_goes_through_a_pipe_into_another_verb(shell, tmp_path):
    made = subprocess.run(
        [sys.executable, "-m", "ogam", "speak", "-o", "-"],
        input=b"hello there\n",
        capture_output=True,
        check=True,
    )
    assert made.stdout.startswith(b"RIFF")
    heard = shell("transcribe", "--json", "-", given=made.stdout)
    assert json.loads(heard.out)["duration"] == pytest.approx(0.5)


def test_wrong_use_is_exit_code_2_in_one_line(shell):
    for arguments in (("speek",), ("speak", "--nope"), ("translate", "hi"), ("see",)):
        done = shell(*arguments)
        assert done.code == 2, arguments
        assert one_line(done.err)
        assert done.err.startswith("ogam: error: ")
        assert "--help" in done.err
    assert "'speak'" in shell("speek").err


def test_an_unexpected_failure_is_one_line_and_a_traceback_only_on_demand():
    code = (
        "import sys\nfrom ogam import cli\nfrom ogam.cli import generate\n"
        "def broken(*_, **__): raise ValueError('two\\nlines')\n"
        "generate.Ogam = broken\nsys.exit(cli.main(['generate', 'x']))"
    )

    def run(debug: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "OGAM_DEBUG": debug}
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False
        )

    quiet = run("")
    assert quiet.returncode == 1
    assert one_line(quiet.stderr)
    assert "ValueError: two lines" in quiet.stderr
    assert "OGAM_DEBUG=1" in quiet.stderr
    assert "Traceback" in run("1").stderr


@posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error_message(unbuffered):
    process = start("embed", "-f", "-", env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(b"a line\n" * 3000)  # answers of about 700 bytes: more than a pipe holds
    process.stdin.close()
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(shell):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ogam", "generate", "x"],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert one_line(done.stderr)
    assert "No space left" in done.stderr
    written = shell("generate", "x", "-o", "/dev/full")
    assert (written.code, one_line(written.err)) == (1, True)
    assert "No space left" in written.err


@posix
def test_a_folder_without_permission_is_one_line(shell, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    done = shell("speak", "x", "-o", "locked/x.wav")
    assert (done.code, one_line(done.err)) == (1, True)
    assert "Permission denied" in done.err


def interrupt(process: subprocess.Popen[bytes], given: bytes) -> tuple[int, bytes, bytes]:
    """Press Ctrl-C once ``given`` is read; a pipe holds 64 KiB, so all but that is read by then."""
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(given)
    process.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGINT)
    code = process.wait(30)
    with process.stdout, process.stderr:
        return code, process.stdout.read(), process.stderr.read()


@posix
def test_ctrl_c_stops_a_long_speech_and_leaves_no_file(tmp_path):
    process = start("speak", "-o", "x.wav")
    code, out, err = interrupt(process, b"a long speech " * 30_000)  # minutes of work
    assert (code, out, err) == (130, b"", b"ogam: stopped.\n")
    assert os.listdir(tmp_path) == []


@posix
def test_ctrl_c_stops_a_long_transcription_and_leaves_no_file(tmp_path):
    process = start("transcribe", "-", "-o", "x.txt")
    code, out, err = interrupt(process, wav.write(bytes(40_000_000), 16_000, 1))
    assert (code, out, err) == (130, b"", b"ogam: stopped.\n")
    assert os.listdir(tmp_path) == []


def test_a_verb_loads_only_what_it_uses():
    code = (
        "import sys\nfrom ogam.cli import main\n"
        "main(['speak', 'hi', '-o', 'x.wav'])\n"
        "heavy = {'rich', 'numpy', 'PIL', 'av', 'matplotlib', 'ogam.cli.see', 'ogam.cli.doctor'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


@posix
def test_tables_are_drawn_on_a_terminal_and_no_color_is_honoured():
    import pty

    for no_color in ("", "1"):
        ours, theirs = pty.openpty()
        environ = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
        process = subprocess.Popen(
            [sys.executable, "-m", "ogam", "doctor"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environ,
        )
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:
            pass  # how Linux says that the other side has closed
        os.close(ours)
        assert process.wait(60) == 0
        assert b"capability" in seen
        assert (b"\x1b[32m" in seen) is (no_color == "")  # green: ready

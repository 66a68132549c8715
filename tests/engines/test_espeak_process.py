"""eSpeak NG's worker processes: cancelled, killed, forked, closed, and none left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ogam.capabilities.base import CancelledWork, cancellable
from ogam.capabilities.speech_synthesis import SpeakRequest
from ogam.engines.espeak import process
from ogam.errors import (
    EngineError,
    OgamError,
)

from .test_espeak import FOX, engine_of, pid_of_the_worker, say

pytest.importorskip("espeakng_loader")


@pytest.fixture(scope="module")
def engine():
    made = engine_of()
    yield made
    made.close()


def test_closing_a_stream_early_frees_the_worker(engine):
    expected = say(engine, "hello")
    for _ in range(5):
        stream = engine.speak_stream(SpeakRequest(text=FOX * 5000))
        next(stream)
        stream.close()
    assert say(engine, "hello") == expected
    assert len(process.pool._all) <= 2


def test_streams_nobody_reads_keep_no_worker_from_the_others(engine):
    held = [engine.speak_stream(SpeakRequest(text=FOX * 20)) for _ in range(4)]
    for stream in held:
        next(stream)
    assert say(engine, "hello").words
    lasts = [list(stream)[-1] for stream in held]
    assert all(last == lasts[0] for last in lasts)


def test_a_caller_who_has_gone_stops_the_speech(engine):
    gone = threading.Event()
    seen = []

    def run():
        cancellable(gone)
        try:
            for chunk in engine.speak_stream(SpeakRequest(text=FOX * 5000)):
                seen.append(chunk)
                gone.set()
        except CancelledWork:
            seen.append("cancelled")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert seen[-1] == "cancelled"
    assert len(seen) < 5


def test_eight_threads_get_what_one_gets_alone(engine):
    jobs = [
        {"text": f"{FOX} {number}", "voice": voice, "rate": rate}
        for number, (voice, rate) in enumerate(
            [("en-us", 1.0), ("ko", 1.5), ("de", 1.0), ("ja+f3", 0.8)] * 4
        )
    ]
    alone = [say(engine, **job) for job in jobs]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda job: say(engine, **job), jobs))
    assert together == alone
    assert len(process.pool._all) <= 2


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_worker_killed_while_it_speaks_is_an_engine_error_and_the_next_call_works():
    engine = engine_of()
    process.pool.shut()
    stream = engine.speak_stream(SpeakRequest(text=FOX * 8000))
    next(stream)
    os.kill(pid_of_the_worker(), signal.SIGKILL)
    with pytest.raises(EngineError) as caught:
        list(stream)
    assert "\n" not in str(caught.value)
    assert say(engine, "hello").words
    engine.close()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_worker_that_died_while_idle_is_replaced_unseen(engine):
    say(engine, "hello")
    for worker in process.pool._all:
        os.kill(worker.process.pid, signal.SIGKILL)
    assert say(engine, "hello").words


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_leaves_the_worker_alone(engine):
    say(engine, "hello")
    pid = pid_of_the_worker()
    os.kill(pid, signal.SIGINT)
    assert os.getpgid(pid) != os.getpgid(0)
    assert say(engine, "hello").words
    assert pid_of_the_worker() == pid


def test_close_ends_the_workers():
    first, second = engine_of(), engine_of("ko")
    for each in (first, second):
        say(each, "hello")
    users = len(process.pool._users)
    first.close()
    assert len(process.pool._users) == users - 1
    gc.collect()
    for user in list(process.pool._users):
        user.close()
    assert process.pool._all == [] or all(
        worker.process.wait(10) is not None for worker in process.pool._all
    )


def run_script(body: str) -> subprocess.CompletedProcess[str]:
    head = """
        import os, sys
        from ogam.capabilities.base import ModelRef
        from ogam.capabilities.speech_synthesis import SpeakRequest
        from ogam.engines.espeak import process
        from ogam.engines.espeak import EspeakEngine
        engine = EspeakEngine(ModelRef(name="espeak", engine="espeak"))
        request = SpeakRequest(text="hello world. " * 5000)
        stream = engine.speak_stream(request)
        next(stream)
        pid = process.pool._all[0].process.pid
    """
    code = textwrap.dedent(head) + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def is_gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks into /proc")
@pytest.mark.parametrize(
    "ending", ["pass", "sys.exit(3)", "os._exit(0)", "os.kill(os.getpid(), 9)", "1 / 0"]
)
def test_no_process_is_left_when_the_interpreter_ends(ending):
    done = run_script(f"print(pid, flush=True)\n{ending}")
    assert is_gone(int(done.stdout))
    assert done.stderr.count("Traceback") == (1 if ending == "1 / 0" else 0)
    assert "Warning" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_child_speaks_with_a_worker_of_its_own():
    done = run_script(
        """
        child = os.fork()
        result = engine.speak(SpeakRequest(text="hello"))
        mine = [worker.process.pid for worker in process.pool._all]
        if child == 0:
            print(result.audio.duration, pid in mine, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(result.audio.duration, pid in mine, flush=True)
        """
    )
    child, parent = done.stdout.split("\n")[:2]
    assert child.split()[0] == parent.split()[0]
    assert (child.split()[1], parent.split()[1]) == ("False", "True")
    assert done.stderr == ""


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks into /proc")
def test_a_long_text_leaves_the_worker_small(engine):
    stream = engine.speak_stream(SpeakRequest(text=FOX * 6700))  # 300,000 characters
    next(stream)
    pid = pid_of_the_worker()
    sizes, total = [], 0
    for number, chunk in enumerate(stream):
        total += len(chunk.pcm)
        if number % 1000 == 999:
            with open(f"/proc/{pid}/statm") as file:
                sizes.append(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        if number == 5000:
            break
    stream.close()
    assert total > 40e6
    assert max(sizes) < 40e6
    assert max(sizes) - sizes[0] < 2e6


def test_only_errors_of_ogam_come_out(engine):
    for bad in ({"voice": "x y z"}, {"language": "zz"}, {"rate": 0.26}, {"ssml": True}):
        with pytest.raises(OgamError):
            say(engine, "hello", **bad)

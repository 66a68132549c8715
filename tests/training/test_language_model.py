"""Data, training, stopping and resuming, scores and export of the language model, on tiny text."""

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

import msgspec  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ogam import registry  # noqa: E402
from ogam.capabilities.text_generation import GenerateRequest  # noqa: E402
from ogam.errors import EngineError, InvalidRequestError  # noqa: E402
from ogam.training import language_model as trainer  # noqa: E402
from ogam.training import language_model_data as texts  # noqa: E402
from ogam.training.language_model import Score, Settings, evaluate, rate, train  # noqa: E402
from ogam.training.runs import Run, load_checkpoint  # noqa: E402

SENTENCE = "the king went to the sea and the queen sang of ships é 왕 🙂"
WORDS = SENTENCE.split()
TEXT = "".join(
    " ".join(WORDS[(7 * line + 3 * word + word * word) % len(WORDS)] for word in range(9)) + ".\n"
    for line in range(250)
)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def settings(text, **changes):
    values = {
        "files": (str(text),),
        "held_out": 0.1,
        "vocabulary": 290,
        "d_model": 16,
        "layers": 1,
        "heads": 2,
        "context": 16,
        "batch": 4,
        "steps": 12,
        "warmup": 3,
        "learning_rate": 1e-2,
        "log_every": 1,
        "valid_every": 6,
        "save_every": 5,
        "threads": 1,
    }
    return Settings(**{**values, **changes})


def losses(folder):
    return {one["step"]: one["loss"] for one in Run.history(_Folder(folder)) if "loss" in one}


class _Folder:
    def __init__(self, folder):
        self.folder = folder


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model" / "hf" / "model.safetensors")


def same(left, right):
    return left.keys() == right.keys() and all(
        torch.equal(left[name], right[name]) for name in left
    )


def test_a_run_learns_and_ends_in_a_folder_an_engine_serves(text, tmp_path):
    out = tmp_path / "run"
    score = train(out, settings(text, steps=40))
    found = losses(out)
    assert found[40] < found[1] - 0.5
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    manifest = json.loads((out / "model" / "model.json").read_bytes())
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((out / "model" / name).read_bytes()).hexdigest() == digest
    assert manifest["bits_per_byte"] == score.bits_per_byte
    engine = registry.Registry().get(f"ctranslate2_generator/{out / 'model'}")
    assert engine.generate(GenerateRequest(prompt="the king", seed=1, max_tokens=5)).text
    engine.close()


def test_the_same_settings_give_the_same_model_and_another_seed_another(text, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tmp_path / name, settings(text, seed=seed, steps=6))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_a_run_that_was_stopped_goes_on_bit_for_bit(text, tmp_path, monkeypatch):
    train(tmp_path / "whole", settings(text))
    step = trainer._Trainer._one_step

    def stopping(self):
        loss = step(self)
        self._run.stop_asked = self._step == 7
        return loss

    monkeypatch.setattr(trainer._Trainer, "_one_step", stopping)
    assert train(tmp_path / "parts", settings(text)) is None
    assert not (tmp_path / "parts" / "model").exists()
    text.write_text("something else by now")  # the run has its own copy
    monkeypatch.undo()
    assert trainer.resume(tmp_path / "parts") is not None
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_a_killed_run_goes_on_bit_for_bit(text, tmp_path):
    wanted = settings(text, steps=60, valid_every=60)
    train(tmp_path / "whole", wanted)
    code = (
        "import sys, msgspec; from pathlib import Path\n"
        "from ogam.training import language_model as t\n"
        "s = msgspec.json.decode(sys.argv[2], type=t.Settings)\n"
        "step = t._Trainer._one_step\n"
        "def slow(self):\n"
        "    import time; time.sleep(0.05); return step(self)\n"
        "t._Trainer._one_step = slow\n"
        "t.train(Path(sys.argv[1]), s)"
    )
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(out), msgspec.json.encode(wanted).decode()],
        stderr=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 120
    while not list((out / "checkpoints").glob("step-*[0-9]")) and time.monotonic() < limit:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL if os.name == "posix" else True
    assert not (out / "model").exists()
    trainer.resume(out)
    assert losses(out) == losses(tmp_path / "whole")
    assert same(weights(out), weights(tmp_path / "whole"))


def test_small_batches_added_up_are_one_large_one(text, tmp_path):
    train(tmp_path / "large", settings(text, batch=8, steps=4, dropout=0.0))
    train(tmp_path / "small", settings(text, batch=2, accumulate=4, steps=4, dropout=0.0))
    large, small = losses(tmp_path / "large"), losses(tmp_path / "small")
    assert list(small.values()) == pytest.approx(list(large.values()), abs=1e-4)


def test_bf16_learns_too(text, tmp_path):
    train(tmp_path / "run", settings(text, precision="bf16", steps=20))
    found = losses(tmp_path / "run")
    assert found[20] < found[1] - 0.3


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(text, tmp_path, monkeypatch):
    step = trainer._Trainer._one_step

    def poisoned(self):
        if self._step == 8:
            with torch.no_grad():
                next(iter(self._parameters.values()))[:] = math.nan
        return step(self)

    monkeypatch.setattr(trainer._Trainer, "_one_step", poisoned)
    with pytest.raises(EngineError, match="no longer a number at step 9; step-00000005 is kept"):
        train(tmp_path / "run", settings(text))
    tensors, state = load_checkpoint(tmp_path / "run" / "checkpoints" / "step-00000005")
    assert state["step"] == 5
    assert all(torch.isfinite(one).all() for one in tensors.values())


# Scores


def test_perplexity_is_that_of_a_hand_computation(text, tmp_path):
    valid = tmp_path / "valid.txt"
    valid.write_text("the queen went é.\n\nthe king sang 왕\n", encoding="utf-8")
    out = tmp_path / "run"
    score = train(out, settings(text, valid=(str(valid),), steps=6))
    from tokenizers import Tokenizer
    from transformers import GPT2LMHeadModel

    tokenizer = Tokenizer.from_file(str(out / "model" / "tokenizer.json"))
    model = GPT2LMHeadModel.from_pretrained(out / "model" / "hf").eval()
    document = valid.read_text(encoding="utf-8").rstrip("\n")
    ids = [0, *tokenizer.encode(document).ids, 0]
    nats = 0.0
    for at in range(1, len(ids)):
        start = (at - 1) // 16 * 16  # the block that the token before it lies in
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[start:at]])).logits[0, -1]
        nats -= float(logits.double().log_softmax(0)[ids[at]])
    assert score.tokens == len(ids) - 1
    assert score.bytes == len(document.encode())
    assert score.nats == pytest.approx(nats, rel=1e-5)
    assert score.perplexity == pytest.approx(math.exp(nats / (len(ids) - 1)), rel=1e-4)
    assert score.bits_per_byte == pytest.approx(nats / math.log(2) / len(document.encode()))


def test_bits_per_byte_of_one_bit_for_each_of_eight_bytes():
    assert Score(nats=8 * math.log(2), tokens=2, bytes=8).bits_per_byte == pytest.approx(1)
    assert Score(nats=8 * math.log(2), tokens=2, bytes=8).perplexity == pytest.approx(16)


def test_the_score_does_not_depend_on_the_batch(text, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=50, n_positions=8, n_embd=8, n_layer=1, n_head=2, **ends)
    )
    stream = np.random.default_rng(1).integers(0, 50, 61).astype(np.uint16)
    sizes = np.ones(50, np.int64)
    found = [evaluate(model, stream, sizes, context=8, batch=size).nats for size in (1, 3, 16)]
    assert found == pytest.approx([found[0]] * 3, rel=1e-5)
    assert found[0] / 60 == pytest.approx(math.log(50), rel=0.1)


def test_the_rate_rises_then_falls_to_a_tenth(text):
    one = settings(text, steps=103, warmup=3, learning_rate=1.0)
    assert [rate(one, step) for step in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rate(one, 53) == pytest.approx(0.55)
    assert rate(one, 103) == pytest.approx(0.1)


# Data


def read(paths, **options):
    return ["".join(parts) for parts in texts.documents(paths, **options) if parts is not None]


def test_documents_are_files_or_what_lies_between_marks_or_lines(tmp_path):
    one, two = tmp_path / "1.txt", tmp_path / "2.txt"
    one.write_text("a b\n\nc\n<|endoftext|>\nd\n")
    two.write_text("e\n")
    assert read([one, two]) == ["a b\n\nc", "d", "e"]
    assert read([two, one], lines=True)[:3] == ["e", "a b", "c"]


@given(st.lists(st.text("ab é\n\t한🙂.'", max_size=30), min_size=1, max_size=20))
def test_parts_have_the_tokens_of_the_whole(lines):
    tokenizer = _tokenizer()
    text = "\n".join(lines).rstrip("\n")
    whole = text.split("\n")
    before, texts._PART = texts._PART, 10
    try:
        parts = list(texts._parts(iter(whole)))
    finally:
        texts._PART = before
    ids = [number for part in parts for number in tokenizer.encode(part).ids]
    if text.strip():
        assert "".join(parts) == text
        assert ids == tokenizer.encode(text).ids
    sizes = texts.byte_lengths(tokenizer)
    assert int(sizes[ids].sum()) == sum(len(part.encode()) for part in parts)


_made = []


def _tokenizer():
    if not _made:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "text.txt"
            file.write_text(TEXT, encoding="utf-8")
            _made.append(texts.train_tokenizer([file], 300, lines=False))
    return _made[0]


def test_any_text_can_be_written_in_the_trained_tokenizer():
    tokenizer = _tokenizer()
    for text in ("never seen: ζ, ตัว, 🦊\x07", "  two  spaces\n\n", "İstanbul"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize("names", [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")])
def test_gpt2s_own_files_are_read(tmp_path, names):
    made = _tokenizer()
    made.model.save(str(tmp_path))
    (tmp_path / "vocab.json").rename(tmp_path / names[0])
    (tmp_path / "merges.txt").rename(tmp_path / names[1])
    loaded = texts.load_tokenizer(tmp_path)
    text = "the king sang é 🙂<|endoftext|>the"
    assert loaded.encode(text).ids == made.encode(text).ids
    assert loaded.decode(loaded.encode(text).ids, skip_special_tokens=False) == text


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match="holds no tokenizer"):
        texts.load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidRequestError, match="does not load"):
        texts.load_tokenizer(tmp_path)


@given(st.integers(2, 400), st.integers(1, 20), st.integers(0, 5))
def test_an_epoch_reads_every_block_once_in_an_order_of_its_own(tokens, context, epoch):
    starts = texts.order(tokens, context, 7, epoch) if texts.blocks(tokens, context) else []
    assert len(starts) == texts.blocks(tokens, context)
    covered = [start + at for start in starts for at in range(context)]
    assert len(set(covered)) == len(covered)
    assert all(start >= 0 and start + context < tokens for start in starts)
    if starts:
        assert starts == texts.order(tokens, context, 7, epoch)


def test_the_held_out_share_is_taken_out_and_nothing_is_lost(text, tmp_path):
    tokenizer = _tokenizer()
    whole = np.array(texts.write_stream(tokenizer, [text], tmp_path / "all", lines=False))
    training, held = texts.split(tokenizer, tmp_path / "all", tmp_path / "held", 0.1)
    assert len(held) == pytest.approx(0.1 * len(whole), rel=0.1)
    for one in (training, held):
        assert one[0] == one[-1] == 0
        assert not ((one[1:] == 0) & (one[:-1] == 0)).any()
    count = np.bincount
    left = count(training, minlength=300) + count(held, minlength=300)
    assert (left[1:] == count(whole, minlength=300)[1:]).all()


# What cannot be trained on


def test_data_that_cannot_be_used_is_one_clear_line_and_leaves_no_folder(text, tmp_path):
    empty, blank, short = tmp_path / "empty", tmp_path / "blank", tmp_path / "short"
    empty.write_text("")
    blank.write_text("\n\n \n")
    short.write_text("the")
    latin = tmp_path / "latin"
    latin.write_bytes("é".encode("latin-1"))
    for path, message in (
        (tmp_path / "none", "There is no file"),
        (empty, "is empty"),
        (blank, "no text"),
        (latin, "not UTF-8"),
        (short, "fewer than one block"),
    ):
        with pytest.raises(InvalidRequestError, match=message):
            train(tmp_path / "run", settings(path))
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes",
    [{"heads": 3}, {"steps": 0}, {"vocabulary": 100}, {"held_out": 0.0}, {"context": 2}],
)
def test_settings_that_cannot_be_are_refused(text, changes):
    with pytest.raises(InvalidRequestError):
        settings(text, **changes)


def test_a_run_is_not_written_over_and_resumes_under_its_own_settings_alone(text, tmp_path):
    train(tmp_path / "run", settings(text, steps=2))
    with pytest.raises(InvalidRequestError, match="holds a run already"):
        train(tmp_path / "run", settings(text, steps=2))
    with pytest.raises(InvalidRequestError, match="started with steps=2, not 3"):
        train(tmp_path / "run", settings(text, steps=3), resume=True)
    with pytest.raises(InvalidRequestError, match="holds no run"):
        trainer.resume(tmp_path / "nowhere")


def test_the_command_trains_and_says_how_well(text, tmp_path, capsys):
    typer = pytest.importorskip("typer")
    from ogam.cli.train_language_model import app

    command = typer.main.get_command(app)
    arguments = f"{text} -o {tmp_path / 'run'} --steps 3 --d-model 16 --layers 1 --heads 2 --json"
    more = "--vocabulary 290 --context 16 --batch 2 --threads 1 --held-out 0.1"
    command.main([*arguments.split(), *more.split()], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["bits_per_byte"] > 0 and Path(found["model"], "model.bin").exists()


def test_a_run_begins_where_another_ended(text, tmp_path, capsys):
    typer = pytest.importorskip("typer")
    from ogam.cli.train_language_model import app

    first, second = tmp_path / "first", tmp_path / "second"
    before = train(first, settings(text, steps=40))
    other = tmp_path / "other.txt"
    other.write_text(TEXT[::-1], encoding="utf-8")
    command = typer.main.get_command(app)
    # Its shape is the other's, without being said.
    arguments = f"{other} -o {second} --start {first} --steps 1 --lr 1e-9 --batch 2 --threads 1"
    command.main([*arguments.split(), "--valid", str(text), "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["bits_per_byte"] == pytest.approx(before.bits_per_byte, rel=0.1)
    tokenizers = [(one / "data" / "tokenizer.json").read_bytes() for one in (first, second)]
    assert tokenizers[0] == tokenizers[1]
    assert not same(weights(first), weights(second)), "it went on"
    moved = first.rename(tmp_path / "moved")
    assert trainer.resume(second) is not None, "it needs the other no more"
    moved.rename(first)
    with pytest.raises(InvalidRequestError, match="layers is 2, and 1 in the run"):
        train(tmp_path / "third", settings(text, start=str(first), layers=2))
    with pytest.raises(InvalidRequestError, match="has its tokenizer"):
        train(tmp_path / "third", settings(text, start=str(first), tokenizer=str(tmp_path)))
    assert not (tmp_path / "third").exists()

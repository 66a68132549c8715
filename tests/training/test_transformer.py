"""The Transformer itself, its batches, its training, and its way to CTranslate2."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

torch = pytest.importorskip("torch")
ctranslate2 = pytest.importorskip("ctranslate2")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ogam.errors import EngineError, InvalidRequestError  # noqa: E402
from ogam.training import translation, translation_data, translation_settings  # noqa: E402
from ogam.training.export_translator import save_ctranslate2  # noqa: E402
from ogam.training.transformer import (  # noqa: E402
    END,
    PAD,
    SPECIALS,
    START,
    Shape,
    Transformer,
    beam_search,
    loss_sum,
    padded,
    sinusoids,
)
from ogam.training.translation_data import Example, batches  # noqa: E402
from ogam.training.translation_result import average  # noqa: E402
from ogam.training.translation_settings import Settings  # noqa: E402

TINY: dict[str, Any] = {
    "d_model": 16,
    "nhead": 2,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "feed_forward": 32,
    "threads": 1,
    "max_tokens": 32,
}


pytestmark = pytest.mark.usefixtures("one_thread")


def tiny(**other: Any) -> Transformer:
    shape = {
        "vocabulary": 20,
        "d_model": 16,
        "nhead": 2,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "feed_forward": 32,
        "positions": 40,
        **other,
    }
    torch.manual_seed(5)
    return Transformer(Shape(**shape))


def mapped(folder: Path, count: int, *, seed: int = 1) -> list[str]:
    """Two files of lines: letters, and the same letters doubled and in reverse."""
    draw = random.Random(seed)
    left, right = [], []
    for _ in range(count):
        words = [draw.choice("abcdefgh") for _ in range(draw.randrange(1, 6))]
        left.append(" ".join(words))
        right.append(" ".join(word * 2 for word in reversed(words)))
    for name, lines in (("train.xx", left), ("train.yy", right)):
        (folder / name).write_text("\n".join(lines) + "\n")
    return [str(folder / "train.xx"), str(folder / "train.yy")]


def settings(files: list[str], **other: Any) -> Settings:
    base: dict[str, Any] = {"train": files, "valid": files, "tokens": "space", "vocabulary": 0}
    return msgspec.convert({**base, **TINY, **other}, Settings)


def losses(folder: Path, name: str = "loss") -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    # What was done twice, after a crash, must have been the same twice.
    found: dict[int, float] = {}
    for line in lines:
        if name in line:
            assert found.setdefault(line["step"], line[name]) == line[name]
    return sorted(found.items())


# The model


@pytest.mark.parametrize("training", [True, False])
def test_no_target_token_sees_its_future(training: bool) -> None:
    model = tiny(dropout=0.0).train(training)
    source = padded([[5, 6, 7, END]])
    before = torch.tensor([[START, 8, 9, 10, 11]])
    after = torch.tensor([[START, 8, 9, 17, 18]])
    with torch.no_grad():
        first, second = model(source, before), model(source, after)
    assert torch.equal(first[:, :3], second[:, :3])
    assert not torch.allclose(first[:, 3:], second[:, 3:])


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_nothing(pre_norm: bool, training: bool) -> None:
    model = tiny(dropout=0.0, pre_norm=pre_norm).train(training)
    with torch.no_grad():
        alone = model(padded([[5, 6, END]]), padded([[START, 8]]))
        beside = model(
            padded([[5, 6, END], [5, 6, 7, 8, 9, 4, END]]),
            padded([[START, 8], [START, 8, 9, 10, 11, 12]]),
        )
    assert torch.allclose(alone[0], beside[0, :2], atol=1e-6)


def test_every_source_token_matters_and_its_place_too() -> None:
    model = tiny(dropout=0.0).eval()
    target = padded([[START, 8]])
    with torch.no_grad():
        whole = model(padded([[5, 6, 7, END]]), target)
        for other in ([5, 6, 9, END], [6, 5, 7, END], [9, 6, 7, END]):
            assert not torch.allclose(whole, model(padded([other]), target), atol=1e-4)


def test_positions_are_the_sinusoids_of_the_paper() -> None:
    table = sinusoids(50, 12)
    for place in (0, 1, 7, 49):
        for i in range(6):
            angle = place / 10000 ** (2 * i / 12)
            assert table[place, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[place, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_source_target_and_output_share_one_table_of_embeddings() -> None:
    model = tiny(vocabulary=23)
    assert [name for name, one in model.named_parameters() if 23 in one.shape] == [
        "embedding.weight"
    ]


def test_each_dropout_is_where_it_should_be() -> None:
    model = tiny(dropout=0.3, attention_dropout=0.1, activation_dropout=0.0)
    layer: Any = model.transformer.decoder.layers[1]
    assert layer.self_attn.dropout == layer.multihead_attn.dropout == 0.1
    assert layer.dropout.p == 0.0 and layer.dropout1.p == layer.dropout3.p == 0.3
    plain: Any = tiny(dropout=0.3).transformer.encoder.layers[0]
    assert plain.self_attn.dropout == plain.dropout.p == plain.dropout2.p == 0.3


def test_heads_must_share_the_width() -> None:
    with pytest.raises(InvalidRequestError, match="5 heads"):
        Shape(vocabulary=9, d_model=16, nhead=5)


def test_the_loss_is_torchs_own_smoothed_cross_entropy() -> None:
    torch.manual_seed(1)
    states = torch.randn(2, 3, 8, requires_grad=True)
    table = torch.randn(7, 8, requires_grad=True)
    scores = states @ table.T
    wanted = torch.tensor([[4, 5, END], [6, END, PAD]])
    whole = loss_sum(states, table, wanted, 0.1)
    mean = torch.nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=0.1)
    theirs = mean(scores.flatten(0, 1), wanted.flatten())
    assert whole.item() / 5 == pytest.approx(theirs.item())
    slopes = torch.autograd.grad(whole / 5, (states, table))
    for ours, other in zip(slopes, torch.autograd.grad(theirs, (states, table)), strict=False):
        assert torch.allclose(ours, other, atol=1e-6)
    scores = scores.detach()
    logs = scores.log_softmax(-1)
    by_hand = sum(
        -0.9 * logs[row, place, token] - 0.1 * logs[row, place].mean()
        for row, line in enumerate(wanted.tolist())
        for place, token in enumerate(line)
        if token != PAD
    )
    assert whole.item() == pytest.approx(float(by_hand), rel=1e-5)


# Batches


lengths = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=80)


@given(lengths, st.integers(0, 5), st.integers(0, 3))
def test_batches_hold_every_pair_once_and_no_more_tokens_than_allowed(
    sizes: list[tuple[int, int]], seed: int, epoch: int
) -> None:
    examples = [Example([4] * left, [4] * right) for left, right in sizes]
    made = batches(examples, 64, seed=seed, epoch=epoch)
    assert sorted(index for batch in made for index in batch) == list(range(len(examples)))
    for batch in made:
        longest = max(max(len(examples[i].source), len(examples[i].target) + 1) for i in batch)
        assert longest * len(batch) <= 64
    assert made == batches(examples, 64, seed=seed, epoch=epoch)


def test_each_epoch_and_each_seed_has_its_own_order() -> None:
    examples = [Example([4] * (1 + n % 5), [4] * (1 + n % 7)) for n in range(200)]
    orders = [batches(examples, 50, seed=seed, epoch=epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert all(one != other for n, one in enumerate(orders) for other in orders[:n])


def test_little_padding_is_left() -> None:
    draw = random.Random(3)
    examples = [
        Example([4] * draw.randrange(1, 50), [4] * draw.randrange(1, 50)) for _ in range(2000)
    ]
    made = batches(examples, 1000, seed=1, epoch=0)
    real = sum(len(one.target) for one in examples)
    whole = sum(len(batch) * max(len(examples[i].target) for i in batch) for batch in made)
    assert real / whole > 0.9


# Training


def test_two_half_batches_give_the_gradients_of_the_whole() -> None:
    model = tiny(dropout=0.0)
    draw = random.Random(2)
    examples = [
        Example(
            [*[draw.randrange(4, 20) for _ in range(draw.randrange(1, 9))], END],
            [draw.randrange(4, 20) for _ in range(draw.randrange(1, 9))],
        )
        for _ in range(12)
    ]
    about = Settings(train=())
    gradients = []
    for group in ([examples], [examples[:6], examples[6:]]):
        model.zero_grad()
        loss, count = translation.backward(model, group, about)
        gradients.append([one.grad.clone() for one in model.parameters()])
        assert count == sum(len(one.target) + 1 for one in examples) and loss > 0
    for whole, halves in zip(*gradients, strict=True):
        assert torch.allclose(whole, halves, atol=1e-6)


def test_the_average_is_the_mean_of_each_tensor() -> None:
    one = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(4.0)}
    two = {"a": torch.tensor([3.0, -2.0]), "b": torch.tensor(0.0)}
    mean = average([one, two])
    assert mean["a"].tolist() == [2.0, 0.0] and mean["b"].item() == 2.0


def test_the_rate_warms_up_and_falls_with_the_square_root() -> None:
    root = Settings(train=(), lr=0.01, warmup=100, schedule="inverse-sqrt")
    assert translation_settings.rate(root, 50) == pytest.approx(0.005)
    assert translation_settings.rate(root, 100) == pytest.approx(0.01)
    assert translation_settings.rate(root, 400) == pytest.approx(0.005)
    flat = Settings(train=(), lr=0.01)
    assert {translation_settings.rate(flat, one) for one in (1, 10, 10_000)} == {0.01}


def test_it_learns_twenty_pairs_by_heart(tmp_path: Path) -> None:
    files = mapped(tmp_path, 20)
    about = settings(
        files,
        d_model=32,
        nhead=4,
        feed_forward=64,
        dropout=0.0,
        smoothing=0.0,
        lr=0.005,
        warmup=20,
        updates=150,
        valid_every=50,
        average=1,
        batch_tokens=1000,
        precision="float32",  # what 8 bits lose of so small a model depends on the processor
    )
    done = translation.train(about, tmp_path / "run")
    assert done.valid["xx-yy"].bleu == pytest.approx(100)
    assert done.valid["xx-yy"].chrf == pytest.approx(100)
    assert done.valid_loss is not None and done.valid_loss < 0.05
    assert (tmp_path / "run" / "loss.png").stat().st_size > 1000
    assert json.loads((tmp_path / "run" / "scores.json").read_bytes())["valid"]["xx-yy"]["bleu"]


SHORT: dict[str, Any] = {
    "updates": 24,
    "valid_every": 8,
    "save_every": 5,
    "log_every": 1,
    "batch_tokens": 60,
    "accumulate": 2,
    "lr": 0.01,
    "dropout": 0.2,
}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """A short run nobody disturbed: its data and its folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("unbroken")
    files = mapped(folder, 60)
    translation.train(settings(files, **SHORT), folder / "run")
    return files, folder / "run"


def test_a_run_that_was_stopped_goes_on_to_the_same_losses_bit_for_bit(
    unbroken: tuple[list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, whole = unbroken
    about = settings(files, **SHORT)
    folder = tmp_path / "run"
    done = 0
    real = translation.backward

    def interrupted(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done in (7, 15):
            os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(translation, "backward", interrupted)
    for update in (7, 15):
        stopped = translation.train(about, folder, resume=update > 7)
        assert (stopped.update, stopped.model) == (update, None)
    finished = translation.train(translation_settings.settings_of(folder), folder, resume=True)
    assert finished.model is not None and finished.update == 24
    assert losses(folder) == losses(whole) and len(losses(whole)) == 24
    assert losses(folder, "valid_loss") == losses(whole, "valid_loss")
    for file in ("model.bin", "shared_vocabulary.json"):
        assert (folder / "model" / file).read_bytes() == (whole / "model" / file).read_bytes()


_SCRIPT = """
import sys
from pathlib import Path
import msgspec
from ogam.training import translation
from ogam.training.translation_settings import Settings
given = msgspec.json.decode(sys.argv[2])
folder = Path(sys.argv[1])
translation.train(msgspec.convert(given, Settings), folder, resume=folder.exists())
"""


def test_a_run_that_was_killed_twice_ends_with_the_same_losses(
    unbroken: tuple[list[str], Path], tmp_path: Path
) -> None:
    files, whole = unbroken
    folder = tmp_path / "run"
    about = msgspec.json.encode(settings(files, **SHORT)).decode()
    log = folder / "log.jsonl"
    for kill_at in (7, 17, None):
        process = subprocess.Popen([sys.executable, "-c", _SCRIPT, str(folder), about])
        while kill_at is not None and process.poll() is None:
            if log.exists() and f'"step": {kill_at},' in log.read_text():
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        process.wait(60)
    assert process.returncode == 0
    assert losses(folder) == losses(whole)
    assert losses(folder, "valid_loss") == losses(whole, "valid_loss")


def test_resuming_with_other_settings_or_other_data_is_refused(
    unbroken: tuple[list[str], Path],
) -> None:
    files, whole = unbroken
    for other in ({"lr": 0.02}, {"seed": 9}, {"d_model": 32}):
        with pytest.raises(InvalidRequestError, match=next(iter(other))):
            translation.train(settings(files, **{**SHORT, **other}), whole, resume=True)
    text = Path(files[0]).read_text()
    try:
        Path(files[0]).write_text(text.replace("a", "h"))
        with pytest.raises(InvalidRequestError, match="files"):
            translation.train(settings(files, **SHORT), whole, resume=True)
    finally:
        Path(files[0]).write_text(text)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_checkpoint(
    tmp_path: Path,
) -> None:
    files = mapped(tmp_path, 40)
    about = settings(files, **{**SHORT, "lr": 1e30, "save_every": 1, "clip": 0.0})
    with pytest.raises(EngineError, match="no longer a number") as caught:
        translation.train(about, tmp_path / "run")
    kept = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert kept and str(kept[-1]) in str(caught.value)


def test_early_stopping_ends_a_run_that_gets_no_better(tmp_path: Path) -> None:
    files = mapped(tmp_path, 30)
    # With a rate this small nothing changes in float32.
    about = settings(
        files, **{**SHORT, "lr": 1e-20, "updates": 500, "valid_every": 2, "patience": 3}
    )
    assert translation.train(about, tmp_path / "run").update == 8


def test_bfloat16_trains_too(tmp_path: Path) -> None:
    files = mapped(tmp_path, 30)
    done = translation.train(settings(files, **SHORT, amp="bf16"), tmp_path / "run")
    found = losses(tmp_path / "run")
    assert done.model is not None and found[-1][1] < found[0][1]


# Data


def test_text_cut_by_bpe_goes_in_and_comes_out_whole() -> None:
    text = "zwei junge bü@@ sche in viel@@ er nä@@ he ."
    tokens = translation_data.SpaceTokens([*SPECIALS, *dict.fromkeys(text.split())])
    assert tokens.cut(text) == text.split()
    assert tokens.join(tokens.cut(text)) == "zwei junge büsche in vieler nähe ."
    (example,) = translation_data.numbers(
        tokens,
        [translation_data.Text(text, text, translation_data.Languages("de", "de"))],
        tagged=False,
    )
    assert example.source == [*example.target, END]
    assert tokens.join([tokens.vocabulary[one] for one in example.target]) == tokens.join(
        text.split()
    )


def test_several_languages_ask_for_theirs_by_a_token_no_text_can_hold(tmp_path: Path) -> None:
    draw = random.Random(4)
    rows = ["source\ttarget\tlanguage"]
    for number in range(60):
        word = "".join(draw.choice("abcdef") for _ in range(4))
        rows.append(f"{word}\t{word.upper()}\tyy" if number % 2 else f"{word}\t{word[::-1]}\tzz")
    (tmp_path / "data.tsv").write_text("\n".join(rows) + "\n")
    about = settings(
        [str(tmp_path / "data.tsv")],
        **{**SHORT, "tokens": "sentencepiece", "vocabulary": 24, "source_language": "xx"},
    )
    done = translation.train(about, tmp_path / "run")
    assert set(done.valid) == {"xx-yy", "xx-zz"}
    assert done.model is not None
    manifest = json.loads((done.model / "model.json").read_bytes())
    assert manifest["languages"] == [["xx", "yy"], ["xx", "zz"]]
    assert manifest["target_tokens"] == {"yy": "<2yy>", "zz": "<2zz>"}
    tokens = translation_data.SentencePieceTokens(done.model / "spm.model")
    assert tokens.vocabulary[:4] == list(SPECIALS)
    assert {"<2yy>", "<2zz>"} <= set(tokens.vocabulary)
    for one in (tokens, translation_data.SpaceTokens(tokens.vocabulary)):
        cut = one.cut("<2yy> </s> a")
        assert "<2yy>" not in cut and "</s>" not in cut and "<unk>" in cut


@pytest.mark.parametrize(
    ("files", "other", "told"),
    [
        ({}, {}, "There is no file"),
        ({"a.tsv": ""}, {}, "is empty"),
        ({"a.tsv": "source\tother\na\tb\n"}, {}, "no column 'target'"),
        ({"a.tsv": "source\ttarget\na\tb\n"}, {}, "which language the source"),
        ({"a.tsv": "source\ttarget\na\tb\n"}, {"source_language": "!"}, "'!' is not a language"),
        ({"a.tsv": "source\ttarget\na\t\n"}, {}, "two sides"),
    ],
)
def test_data_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, files: dict[str, str], other: dict[str, str], told: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    about = settings([str(tmp_path / "a.tsv")], target_language="yy", **other)
    if told == "two sides":
        about = msgspec.structs.replace(about, source_language="xx")
    with pytest.raises(InvalidRequestError, match=told) as caught:
        translation.train(about, tmp_path / "run")
    assert "\n" not in str(caught.value)


# CTranslate2


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("pre_norm", [False, True])
def test_ctranslate2_finds_what_torch_finds_with_the_same_scores(
    tmp_path: Path, pre_norm: bool, activation: str
) -> None:
    model = tiny(vocabulary=30, pre_norm=pre_norm, activation=activation).eval()
    with torch.no_grad():
        for one in model.parameters():
            one.add_(torch.randn_like(one) * 0.2)
    vocabulary = [*SPECIALS, *(f"w{n}" for n in range(4, 30))]
    save_ctranslate2(tmp_path, model.shape, model.state_dict(), vocabulary, "float32")
    translator = ctranslate2.Translator(str(tmp_path), intra_threads=1)
    draw = random.Random(1)
    source = [[draw.randrange(4, 30) for _ in range(draw.randrange(1, 14))] for _ in range(16)]
    ended = set()
    for beam in (1, 2, 5):
        ours = beam_search(model, [[*one, END] for one in source], beam=beam, longest=15)
        theirs = translator.translate_batch(
            [[vocabulary[token] for token in one] for one in source],
            beam_size=beam,
            max_decoding_length=15,
            min_decoding_length=0,
            return_scores=True,
        )
        for (tokens, score), other in zip(ours, theirs, strict=True):
            assert [vocabulary[token] for token in tokens] == other.hypotheses[0]
            assert score == pytest.approx(other.scores[0], abs=1e-3)
            ended.add(len(tokens))
    assert ended


def test_a_trained_model_translates_alike_in_both(
    unbroken: tuple[list[str], Path], tmp_path: Path
) -> None:
    files, whole = unbroken
    weights = translation.load_checkpoint(whole / "best")[0]
    vocabulary = json.loads((whole / "vocabulary.json").read_bytes())
    shape = settings(files, **SHORT).shape(len(vocabulary))
    model = Transformer(shape).eval()
    model.load_state_dict(weights)
    save_ctranslate2(tmp_path, shape, weights, vocabulary, "float32")
    source = [line.split() for line in Path(files[0]).read_text().splitlines()][:20]
    numbered = [[*(vocabulary.index(word) for word in line), END] for line in source]
    ours = beam_search(model, numbered, beam=4, longest=20)
    theirs = ctranslate2.Translator(str(tmp_path), intra_threads=1).translate_batch(
        source, beam_size=4, max_decoding_length=20, min_decoding_length=0, return_scores=True
    )
    for (tokens, score), other in zip(ours, theirs, strict=True):
        assert [vocabulary[token] for token in tokens] == other.hypotheses[0]
        assert score == pytest.approx(other.scores[0], abs=1e-3)
    assert any(len(tokens) < 20 for tokens, _ in ours), "some must have ended by themselves"

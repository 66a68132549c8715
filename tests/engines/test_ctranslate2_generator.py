"""A tiny GPT-2 made here: equal to transformers, seeds, stops, streams, limits."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
ctranslate2 = pytest.importorskip("ctranslate2")

from ogam.capabilities.base import CancelledWork, cancellable  # noqa: E402
from ogam.capabilities.text_generation import GenerateRequest, GenerateResult  # noqa: E402
from ogam.engines._writing import Growing, Job  # noqa: E402
from ogam.errors import (  # noqa: E402
    EngineError,
    InvalidRequestError,
    TooLargeError,
)
from ogam.training.export_language_model import convert  # noqa: E402

from .tiny_gpt2 import PROMPT, copy, make, write  # noqa: E402


@pytest.fixture(scope="module")
def engine(model):
    engine = make(model)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def peer(model):
    """The same weights in transformers, and their tokenizer."""
    transformers.utils.logging.disable_progress_bar()
    return (
        transformers.GPT2LMHeadModel.from_pretrained(model / "hf"),
        transformers.AutoTokenizer.from_pretrained(model / "hf"),
    )


def test_greedy_text_is_the_text_transformers_writes(engine, peer):
    network, tokenizer = peer
    inputs = tokenizer(PROMPT, return_tensors="pt")
    whole = network.generate(**inputs, do_sample=False, max_new_tokens=30, pad_token_id=0)[0]
    expected = tokenizer.decode(whole[inputs.input_ids.shape[1] :], skip_special_tokens=True)
    ours = write(engine, max_tokens=30, temperature=0)
    assert ours.text == expected
    assert ours.units.input_tokens == inputs.input_ids.shape[1]


@pytest.mark.parametrize("penalty", [0.7, 1.5, 3.0])
def test_the_repetition_penalty_is_that_of_its_paper(engine, peer, penalty):
    # Logits of tokens that are there are divided by it, negative ones multiplied; the
    # prompt's first token is free.
    network, tokenizer = peer
    prompt = tokenizer(PROMPT).input_ids
    ids = list(prompt)
    for _ in range(12):
        with torch.no_grad():
            logits = network(input_ids=torch.tensor([ids])).logits[0, -1]
        there = torch.tensor(sorted(set(ids[1:])))
        logits[there] = torch.where(
            logits[there] < 0, logits[there] * penalty, logits[there] / penalty
        )
        ids.append(int(logits.argmax()))
    expected = tokenizer.decode(ids[len(prompt) :])
    assert write(engine, max_tokens=12, temperature=0, repetition_penalty=penalty).text == expected


def test_its_logits_are_those_of_transformers(model, peer):
    network, tokenizer = peer
    with torch.no_grad():
        expected = network(**tokenizer(PROMPT, return_tensors="pt")).logits[0]
    ours = ctranslate2.Generator(str(model)).forward_batch([tokenizer.tokenize(PROMPT)])
    assert torch.allclose(torch.tensor(np.asarray(ours))[0], expected, atol=1e-4)


def test_one_token_to_draw_from_is_greedy(engine):
    greedy = write(engine, temperature=0, max_tokens=20).text
    for options in ({"top_k": 1}, {"top_p": 0.0}, {"temperature": 1e-6}):
        assert write(engine, max_tokens=20, seed=5, **options).text == greedy


def test_top_k_and_top_p_leave_only_the_likeliest(engine, peer):
    network, tokenizer = peer
    with torch.no_grad():
        logits = network(**tokenizer(PROMPT, return_tensors="pt")).logits[0, -1]
    best = [tokenizer.decode([one]) for one in logits.topk(3).indices.tolist()]
    found = {write(engine, max_tokens=1, top_k=3, seed=seed).text for seed in range(40)}
    assert len(found) > 1 and found <= set(best)
    likeliest = float(logits.softmax(-1).max())
    nucleus = {write(engine, max_tokens=1, top_p=likeliest / 2, seed=n).text for n in range(20)}
    assert nucleus == {best[0]}


def test_a_seed_gives_the_same_text_whatever_ran_before(engine):
    first = write(engine, seed=3, n=2).texts
    write(engine, n=3)
    write(engine, seed=4)
    assert write(engine, seed=3, n=2).texts == first
    assert first[0] != first[1]
    assert write(engine, seed=4).text != first[0]
    assert write(engine, seed=-3).text != first[0]


def test_a_seed_gives_the_same_text_whatever_runs_beside(engine):
    alone = {seed: write(engine, seed=seed).text for seed in range(6)}
    with ThreadPoolExecutor(8) as pool:
        seeds = [seed for _ in range(4) for seed in range(6)]
        random.Random(1).shuffle(seeds)
        noise = [pool.submit(write, engine) for _ in range(8)]
        together = list(pool.map(lambda seed: write(engine, seed=seed).text, seeds))
    assert together == [alone[seed] for seed in seeds]
    assert len({one.result().text for one in noise}) == len(noise)


def test_another_engine_of_the_same_model_gives_the_same_text(engine, model):
    other = make(model)
    assert write(other, seed=11).text == write(engine, seed=11).text
    other.close()


def test_without_a_seed_every_call_differs_even_after_a_seeded_one(model):
    found = set()
    for _ in range(4):
        engine = make(model)
        write(engine, seed=1)
        found |= {write(engine).text for _ in range(2)}
        engine.close()
    assert len(found) == 8


def test_a_stop_string_may_span_tokens_and_is_never_sent(engine):
    free = write(engine, seed=2, max_tokens=40).text
    for start in range(0, len(free) - 6, 3):
        stop = free[start : start + 5]
        request = GenerateRequest(prompt=PROMPT, seed=2, max_tokens=40, stop=("nowhere", stop))
        *deltas, last = engine.generate_stream(request)
        expected = free[: free.index(stop)]
        assert last.text == expected
        assert last.choices[0].finish_reason == "stop"
        assert all(expected.startswith(sent) for sent in accumulate(one.text for one in deltas))
        assert "".join(one.text for one in deltas) == expected


def test_a_stop_string_that_never_comes_changes_nothing(engine):
    free = write(engine, seed=2, max_tokens=40)
    held = write(engine, seed=2, max_tokens=40, stop=(free.text[-3:] + "\x01", "the the the"))
    assert held.choices == free.choices


def test_the_stream_is_the_whole_and_splits_no_character(engine):
    for seed in range(10):
        request = GenerateRequest(prompt="그 여우", seed=seed, n=3, temperature=1.5, max_tokens=30)
        *deltas, last = engine.generate_stream(request)
        for index, text in enumerate(last.texts):
            assert "".join(one.text for one in deltas if one.index == index) == text
        assert isinstance(last, GenerateResult)
        assert all(one.text for one in deltas)
        assert last == engine.generate(request)


def test_a_stream_comes_piece_by_piece(engine):
    *deltas, _ = engine.generate_stream(GenerateRequest(prompt=PROMPT, seed=1, max_tokens=30))
    assert len(deltas) > 10


@given(
    st.lists(st.sampled_from([*range(256), 256]), max_size=40),
    st.lists(st.text("ab é", min_size=1, max_size=3), max_size=3),
    st.integers(1, 40),
)
def test_what_is_sent_is_certain(tokens, stops, room):
    def decode(ids):
        return bytes(ids).decode("utf-8", errors="replace")

    sequence = Growing(decode, frozenset({256}), stops, room)
    sent, used = "", []
    for token in tokens:
        sent += sequence.add(token)
        used.append(token)
        assert not any(stop in sent for stop in stops)
        if sequence.reason:
            break
    read = [token for token in used if token != 256]
    whole = decode(read)
    cuts = [whole.index(stop) for stop in stops if stop in whole]
    if sequence.reason:
        assert sent == sequence.text == (whole[: min(cuts)] if cuts else whole)
        assert len(sequence.ids) <= room
    else:
        assert whole.startswith(sent)
        assert not cuts


def test_limits_count_new_tokens_or_all_of_them(engine, model):
    spent = write(engine, max_tokens=1, temperature=0).units.input_tokens
    assert write(engine, max_tokens=7, seed=1).units.output_tokens <= 7
    result = write(engine, max_length=spent + 3, temperature=0)
    assert result.units.output_tokens <= 3
    with pytest.raises(InvalidRequestError, match="max_length is"):
        write(engine, max_length=spent)
    # never more than the context holds
    results = [write(engine, max_tokens=5000, seed=seed) for seed in range(5)]
    assert all(one.units.output_tokens <= 64 - spent for one in results)


def test_a_sequence_ends_at_the_end_token_or_at_the_limit(engine):
    reasons = {
        choice.finish_reason: choice.text
        for choice in write(engine, seed=1, n=8, max_tokens=4).choices
    }
    assert "length" in reasons


def test_a_prompt_that_fills_the_context_is_refused(engine):
    with pytest.raises(TooLargeError, match="the model reads 64"):
        write(engine, prompt="the old fox saw a small bird. " * 40)


PROMPTS = (
    "the old fox",
    "the",
    "a small bird saw the old fox. the café owner forgot a small bird. the old",
    "그 여우",
    "a 🙂 child sang to",
    "the café owner followed",
    "a",
    "a small bird forgot the old fox. a",
)


def arrived(line, count):
    """Wait until so many stand in the line."""
    for _ in range(2000):
        if len(line._waiting) >= count:
            return
        time.sleep(0.005)
    raise AssertionError(f"{len(line._waiting)} of {count} came")


@contextmanager
def busy(engine, monkeypatch, count):
    """Keep the engine busy until ``count`` jobs wait; gives the sizes of what it ran then."""
    model = engine._load()
    sizes, gate = [], threading.Event()
    run = model._batch

    def counted(worker, jobs, *, ask):
        sizes.append(len(jobs))
        return run(worker, jobs, ask=ask)

    def opened():
        arrived(model._line, count)
        gate.set()

    monkeypatch.setattr(model, "_batch", counted)
    for _ in range(model._pool._max_workers):
        model._pool.submit(gate.wait)
    opener = threading.Thread(target=opened)
    opener.start()
    yield sizes
    gate.set()
    opener.join()


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0}, {"temperature": 0, "repetition_penalty": 1.5}, {"top_k": 1, "n": 2}],
)
def test_different_prompts_at_once_are_written_together_and_as_alone(engine, monkeypatch, options):
    alone = [write(engine, one, max_tokens=25, **options) for one in PROMPTS]
    with busy(engine, monkeypatch, 8) as sizes, ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda one: write(engine, one, max_tokens=25, **options), PROMPTS))
    assert together == alone
    assert len({one.text for one in alone}) > 4
    assert len(sizes) <= 2 and sum(sizes) == 8


def test_streams_written_together_are_what_each_is_alone(engine, monkeypatch):
    def stream(prompt):
        request = GenerateRequest(prompt=prompt, temperature=0, max_tokens=25)
        return list(engine.generate_stream(request))

    alone = [stream(one) for one in PROMPTS[:6]]
    with busy(engine, monkeypatch, 6) as sizes, ThreadPoolExecutor(6) as pool:
        assert list(pool.map(stream, PROMPTS[:6])) == alone
    assert len(sizes) < 6


def test_what_comes_before_the_first_token_is_let_in(engine, monkeypatch):
    alone = [write(engine, one, max_tokens=30, temperature=0) for one in PROMPTS[3:7]]
    model = engine._load()
    company = model._line.company
    sizes = []

    def patient(jobs):
        if len(jobs) == 1:
            arrived(model._line, 3)
        found = company(jobs)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(model._line, "company", patient)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(write, engine, PROMPTS[3], max_tokens=30, temperature=0)
        while not sizes:
            time.sleep(0.001)
        monkeypatch.setattr(model._pool, "submit", lambda _: None)
        others = [
            pool.submit(write, engine, one, max_tokens=30, temperature=0) for one in PROMPTS[4:7]
        ]
        assert [first.result(), *(one.result() for one in others)] == alone
    assert sizes == [1, 3]


def test_only_what_shares_its_options_is_written_together(engine, monkeypatch):
    requests = [{"temperature": 0}, {"top_k": 3}, {"top_k": 4}, {"seed": 1}, {"seed": 1}]
    requests += [{"temperature": 0, "stop": ("x",), "max_tokens": 9}, {"top_k": 3, "n": 2}]
    with busy(engine, monkeypatch, 7) as sizes, ThreadPoolExecutor(7) as pool:
        seeded = list(pool.map(lambda one: write(engine, **one).text, requests))[3:5]
    assert sorted(sizes) == [1, 1, 1, 2, 2]
    assert seeded == [write(engine, seed=1).text] * 2


def test_what_is_drawn_together_without_a_seed_differs(engine, monkeypatch):
    with busy(engine, monkeypatch, 8) as sizes, ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: write(engine, max_tokens=40).text, range(8)))
    assert len(set(texts)) == 8
    assert len(sizes) < 8


def started(engine, prompt, take, most=20):
    model = engine._load()
    request = GenerateRequest(prompt=prompt, temperature=0)
    return model.start(model.prompt(request), most, request, take)


def test_each_leaves_a_batch_as_it_ends_and_one_that_breaks_breaks_alone(engine, monkeypatch):
    ids = {name: [] for name in ("whole", "leaves", "breaks", "also whole")}
    still = []

    def whole(name, most=20):
        def take(_, token):
            ids[name].append(token)
            if name == "whole":
                still.append(done["leaves"].done())
            return len(ids[name]) == most

        return take

    def breaks(_, token):
        ids["breaks"].append(token)
        raise ValueError("broken")

    alone = {}
    for name in ("whole", "also whole"):
        done = {"leaves": threading.Thread()}
        done["leaves"].done = lambda: False
        started(engine, PROMPTS[name == "whole"], whole(name)).result()
        alone[name] = ids[name][:]
        ids[name].clear()
    still.clear()
    done = {}
    with busy(engine, monkeypatch, 4) as sizes:
        done["leaves"] = started(engine, PROMPT, whole("leaves", 3))
        done["breaks"] = started(engine, PROMPT, breaks)
        done["whole"] = started(engine, PROMPTS[1], whole("whole"))
        done["also whole"] = started(engine, PROMPTS[0], whole("also whole"))
        for name in ("leaves", "whole", "also whole"):
            assert done[name].result(timeout=20) is None
        with pytest.raises(ValueError, match="broken"):
            done["breaks"].result(timeout=20)
    assert {name: ids[name] for name in alone} == alone
    assert len(ids["leaves"]) == 3
    assert still[-1]  # it had its answer before the others had theirs
    assert sizes[0] == 4


def test_who_leaves_while_it_waits_is_not_written(engine, monkeypatch):
    request = GenerateRequest(prompt=PROMPTS[2], temperature=0)
    alone = list(engine.generate_stream(request))
    given, give, gone = [], Job.give, threading.Event()
    monkeypatch.setattr(Job, "give", lambda self, *one: given.append(self) or give(self, *one))

    def leave():
        cancellable(gone)
        next(engine.generate_stream(request))

    with busy(engine, monkeypatch, 2), ThreadPoolExecutor(1) as pool:
        leaver = pool.submit(leave)
        arrived(engine._load()._line, 1)
        gone.set()
        with pytest.raises(CancelledWork):
            leaver.result()
        assert list(engine.generate_stream(request)) == alone
    assert len(set(given)) == 1


def test_who_leaves_while_the_prompt_is_read_token_by_token_ends_it(engine):
    model, asked = engine._load(), []
    request = GenerateRequest(prompt=PROMPTS[2], repetition_penalty=1.5)

    def take(_, token):
        asked.append(token)
        return True

    model.start(model.prompt(request), 20, request, take).result(timeout=20)
    assert asked == [None]


def test_greedy_text_of_8_bit_weights_does_not_depend_on_its_company(model, tmp_path, monkeypatch):
    folder = copy(model, tmp_path)
    convert(model / "hf", folder, "int8")
    engine = make(folder)
    prompts = [text[:length] for text in PROMPTS for length in (3, 3, 4)]
    alone = [write(engine, one, max_tokens=30, temperature=0) for one in prompts]
    with busy(engine, monkeypatch, len(prompts)) as sizes, ThreadPoolExecutor(len(prompts)) as pool:
        together = list(
            pool.map(lambda one: write(engine, one, max_tokens=30, temperature=0), prompts)
        )
    assert together == alone
    assert len(sizes) < len(prompts)
    engine.close()


def test_a_cancelled_caller_stops_the_work(engine):
    event = threading.Event()
    event.set()

    def work():
        cancellable(event)
        write(engine, max_tokens=50)

    with ThreadPoolExecutor(1) as pool, pytest.raises(CancelledWork):
        pool.submit(work).result()
    assert write(engine, seed=1).text


def test_leaving_a_stream_early_leaves_the_engine_usable(engine):
    for _ in range(20):
        stream = engine.generate_stream(GenerateRequest(prompt=PROMPT, n=8))
        next(stream)
        stream.close()
    assert write(engine, seed=1).text == write(engine, seed=1).text


def test_a_closed_engine_holds_no_model_and_can_be_closed_again(model):
    engine = make(model)
    write(engine)
    engine.close()
    engine.close()
    assert engine._model is None


def test_closing_an_engine_sends_away_those_who_wait(model):
    engine, gate = make(model), threading.Event()
    loaded = engine._load()
    for _ in range(loaded._pool._max_workers):
        loaded._pool.submit(gate.wait)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(write, engine) for _ in range(2)]
        arrived(loaded._line, 2)
        engine.close()
        for one in waiting:
            with pytest.raises(EngineError, match="was closed"):
                one.result()
    gate.set()


def test_closing_during_a_call_ends_it_in_one_line(model):
    engine = make(model)
    loaded = engine._load()
    loaded.close()
    with pytest.raises(EngineError, match="was closed"):
        write(engine)

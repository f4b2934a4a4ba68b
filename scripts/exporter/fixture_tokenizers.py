"""Tokenizers of each architecture's kind, trained on the fixture texts but ``UNKNOWN``."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import transformers
from tokenizers import (
    ByteLevelBPETokenizer,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

import fixture_texts

VOCABULARY = 600  # half of it letters; those that begin a word and those inside one count apart
UNIGRAM_VOCABULARY = 440  # each entry is written with its score
BYTES_VOCABULARY = 300  # of the generators, whose heads are as large as their embeddings
UNIGRAM_LETTERS = 220
MAX_LENGTH = 64
POSITIONS = 144  # of the generators
WORDPIECE_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MPNET_SPECIALS = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
ROBERTA_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
OPT_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
LLAMA_SPECIALS = ("<unk>", "<s>", "</s>")
ALBERT_SPECIALS = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
DEBERTA_SPECIALS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END = "<|endoftext|>"


def make_tokenizer(
    architecture: str, scratch: Path, vocabulary: int = VOCABULARY
) -> PreTrainedTokenizerFast:
    """A tokenizer as the architecture's published checkpoints have it, but small.

    The library's own trainers break ties at random where a piece inside a word has a name of its
    own, and a fixture must come out the same each time it is made: only byte-level and plain BPE
    are trained by them.

    Args:
        architecture: one of ``fixture_checkpoints.ARCHITECTURES``.
        scratch: a folder for the vocabulary's files, which are removed again.
        vocabulary: how many entries it has, if it is WordPiece or RoBERTa's.
    """
    texts = [*fixture_texts.ORDINARY.values(), *fixture_texts.AWKWARD.values()]
    texts = [fixture_texts.readable(text) for text in texts]
    makers = {
        "roberta": functools.partial(_roberta, vocabulary=vocabulary),
        "xlm-roberta": _xlm_roberta,
        "albert": _albert,
        "deberta-v2": _deberta,
        "modernbert": _modernbert,
        "gpt2": _gpt2,
        "gpt_neo": _gpt2,
        "opt": _opt,
        "llama": _llama,
        "qwen2": _qwen2,
    }
    before = set(scratch.iterdir())
    if architecture in makers:
        tokenizer = makers[architecture](texts, scratch)
    else:
        tokenizer = _wordpiece(texts, scratch, architecture, vocabulary)
    for file in set(scratch.iterdir()) - before:
        file.unlink()
    return tokenizer


def _wordpiece(
    texts: list[str], scratch: Path, architecture: str, vocabulary: int
) -> PreTrainedTokenizerFast:
    cased = architecture == "bert"
    specials = MPNET_SPECIALS if architecture == "mpnet" else WORDPIECE_SPECIALS
    file = scratch / "vocab.txt"
    lines = _wordpiece_vocabulary(texts, cased, specials, vocabulary)
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    kinds = {"bert": "Bert", "distilbert": "DistilBert", "electra": "Electra", "mpnet": "MPNet"}
    kind = getattr(transformers, f"{kinds[architecture]}TokenizerFast")
    return kind(str(file), do_lower_case=not cased, model_max_length=MAX_LENGTH)


def _roberta(texts: list[str], scratch: Path, vocabulary: int) -> PreTrainedTokenizerFast:
    files = _byte_pairs(texts, scratch, vocabulary, ROBERTA_SPECIALS)
    return transformers.RobertaTokenizerFast(*files, model_max_length=MAX_LENGTH)


def _modernbert(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    files = _byte_pairs(texts, scratch, VOCABULARY, WORDPIECE_SPECIALS)
    backend = Tokenizer(models.BPE.from_file(*files))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = _template("[CLS]:0 $A:0 [SEP]:0", "$B:1 [SEP]:1", WORDPIECE_SPECIALS)
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
        **dict(zip(names, WORDPIECE_SPECIALS)),
    )


def _xlm_roberta(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "▁"),
        ]
    )
    backend = _unigram(texts, normalizer, pre_tokenizers.Metaspace(), ROBERTA_SPECIALS, "<unk>")
    backend.post_processor = _template("<s> $A </s>", "</s> $B </s>", ROBERTA_SPECIALS)
    file = _save(backend, scratch)
    return transformers.XLMRobertaTokenizerFast(tokenizer_file=file, model_max_length=MAX_LENGTH)


def _albert(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    backend = _unigram(texts, normalizer, pre_tokenizers.Metaspace(), ALBERT_SPECIALS, "<unk>")
    backend.post_processor = _template("[CLS]:0 $A:0 [SEP]:0", "$B:1 [SEP]:1", ALBERT_SPECIALS)
    file = _save(backend, scratch)
    return transformers.AlbertTokenizerFast(tokenizer_file=file, model_max_length=MAX_LENGTH)


def _deberta(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    normalizer = normalizers.Sequence(
        [normalizers.Strip(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    splitter = pre_tokenizers.Sequence([pre_tokenizers.Metaspace()])
    backend = _unigram(texts, normalizer, splitter, DEBERTA_SPECIALS, "[UNK]")
    backend.post_processor = _template("[CLS]:0 $A:0 [SEP]:0", "$B:1 [SEP]:1", DEBERTA_SPECIALS)
    file = _save(backend, scratch)
    return transformers.DebertaV2TokenizerFast(tokenizer_file=file, model_max_length=MAX_LENGTH)


def _gpt2(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    files = _byte_pairs(texts, scratch, BYTES_VOCABULARY, (END,))
    return transformers.GPT2TokenizerFast(*files, model_max_length=POSITIONS)


def _opt(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    files = _byte_pairs(texts, scratch, BYTES_VOCABULARY, OPT_SPECIALS)
    backend = transformers.GPT2TokenizerFast(*files, unk_token="</s>").backend_tokenizer
    backend.post_processor = processors.TemplateProcessing(
        single="</s>:0 $A:0",
        pair="</s>:0 $A:0 $B:1",
        special_tokens=[("</s>", OPT_SPECIALS.index("</s>"))],
    )
    return transformers.GPT2TokenizerFast(
        tokenizer_file=_save(backend, scratch),
        unk_token="</s>",
        bos_token="</s>",
        eos_token="</s>",
        pad_token="<pad>",
        add_bos_token=True,
        model_max_length=POSITIONS,
    )


def _qwen2(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    backend = Tokenizer(
        models.BPE.from_file(*_byte_pairs(texts, scratch, BYTES_VOCABULARY, (END,)))
    )
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    return transformers.Qwen2TokenizerFast(
        tokenizer_file=_save(backend, scratch), model_max_length=POSITIONS
    )


def _llama(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    """Knows the letters of ``ORDINARY`` alone; all others are spelt in bytes."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=250, min_frequency=2, show_progress=False)
    trained.train_from_iterator(list(fixture_texts.ORDINARY.values()), trainer)
    content = json.loads(trained.to_str())["model"]
    pieces = [*LLAMA_SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256)), *content["vocab"]]
    backend = Tokenizer(
        models.BPE(
            vocab={piece: index for index, piece in enumerate(pieces)},
            merges=[tuple(merge) for merge in content["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return transformers.LlamaTokenizerFast(
        tokenizer_file=_save(backend, scratch), legacy=True, model_max_length=POSITIONS
    )


def _byte_pairs(
    texts: list[str], scratch: Path, size: int, specials: Sequence[str]
) -> tuple[str, ...]:
    """The files ``vocab.json`` and ``merges.txt`` of a byte-level BPE."""
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, size, 2, False, list(specials))
    return tuple(trained.save_model(str(scratch)))


def _template(single: str, second: str, specials: Sequence[str]) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=single,
        pair=f"{single} {second}",
        special_tokens=[
            (token, index) for index, token in enumerate(specials) if token in f"{single} {second}"
        ],
    )


def _save(backend: Tokenizer, scratch: Path) -> str:
    file = scratch / "tokenizer.json"
    backend.save(str(file))
    return str(file)


def _unigram(
    texts: list[str],
    normalizer: normalizers.Normalizer,
    splitter: pre_tokenizers.PreTokenizer,
    specials: Sequence[str],
    unknown: str,
) -> Tokenizer:
    """A SentencePiece model: letters and the most frequent pieces of words, scored by frequency."""
    letters: Counter[str] = Counter()
    pieces: Counter[str] = Counter()
    for text in texts:
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)):
            letters.update(word)
            for start, end in _pieces(word):
                pieces[word[start:end]] += end - start
    chosen = [*_ranked(letters)[:UNIGRAM_LETTERS], *_ranked(pieces)]
    chosen = chosen[: UNIGRAM_VOCABULARY - len(specials)]
    counts = {piece: letters[piece] or pieces[piece] / len(piece) for piece in chosen}
    total = sum(counts.values())
    vocabulary = [(token, 0.0) for token in specials]
    vocabulary += [(piece, round(math.log(counts[piece] / total), 4)) for piece in chosen]
    backend = Tokenizer(models.Unigram(vocabulary, specials.index(unknown), False))
    backend.normalizer = normalizer
    backend.pre_tokenizer = splitter
    backend.decoder = decoders.Metaspace()
    return backend


def _wordpiece_vocabulary(
    texts: Sequence[str], cased: bool, specials: Sequence[str], size: int
) -> list[str]:
    """The most frequent letters, then the most frequent pieces of words."""
    normalizer = normalizers.BertNormalizer(lowercase=not cased)
    splitter = pre_tokenizers.BertPreTokenizer()
    letters: Counter[str] = Counter()
    pieces: Counter[str] = Counter()
    for text in texts:
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)):
            letters.update(word[:1])
            letters.update(f"##{letter}" for letter in word[1:])
            for start, end in _pieces(word):
                pieces[("##" if start else "") + word[start:end]] += end - start
    chosen = [*specials, *_ranked(letters)[: size // 2]]
    return chosen + _ranked(pieces)[: size - len(chosen)]


def _pieces(word: str) -> Iterator[tuple[int, int]]:
    """Start and end of each piece of two letters or more near the beginning of the word."""
    for start, end in itertools.combinations(range(min(len(word), 12) + 1), 2):
        if end - start > 1:
            yield start, end


def _ranked(counter: Counter[str]) -> list[str]:
    return sorted(counter, key=lambda piece: (-counter[piece], piece))

"""Trains the ready model ``model-assets/sentiment`` from scratch.

Builds the texts (sentiment_corpus.py), the WordPiece vocabulary and a small DistilBERT classifier,
writes a Hugging Face checkpoint and prints its accuracy on the development sentences. Give
``--heldout FILE`` for the figures on sentences that nothing here was tuned on, and ``--export``
to turn the checkpoint into a model folder with the project's exporter. It runs in the exporter's
virtual environment (torch, transformers) and takes about ten minutes on one core:

    python3 scripts/exporter/bootstrap.py -- python scripts/ready_models/train_sentiment.py --export
"""

from __future__ import annotations

import itertools
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import (
    BertTokenizerFast,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from sentiment_corpus import NEGATIVE, POSITIVE, Example, SentimentCorpus
from training import export, make_reproducible, recipe, save, set_waves, tell_size, train

HERE = Path(__file__).resolve().parent
LABELS = {NEGATIVE: "NEGATIVE", POSITIVE: "POSITIVE"}
MAX_LENGTH = 128
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY_TEXTS = 60_000
# How often the bare phrases are shown to the vocabulary trainer: it sets how often a word must
# occur, so that every word of the lists is taken and few typing errors are.
MATERIAL_REPEATS = 6
PIECES = 1200


def train_tokenizer(seed: int, size: int) -> PreTrainedTokenizerFast:
    """Learns a lower-casing WordPiece vocabulary from the texts.

    The trainer alone would break up a quarter of the words of the lists, since it joins what goes
    together and not what is frequent. The words are therefore given to it, the frequent ones
    first, and it fills the rest of the vocabulary with pieces for those that nobody foresaw.
    """
    corpus = SentimentCorpus(seed)
    texts = [example.text for example in corpus.material()] * MATERIAL_REPEATS
    texts += [example.text for example in corpus.examples(VOCABULARY_TEXTS)]
    trainer = BertWordPieceTokenizer(lowercase=True)
    counts = Counter(
        word for text in texts for word in re.findall(r"[a-z]{2,}", trainer.normalize(text))
    )
    words = sorted(
        (w for w, n in counts.items() if n >= MATERIAL_REPEATS), key=lambda w: -counts[w]
    )
    # The trainer numbers the continuation characters in the order of a hash map, which differs
    # from run to run and settles ties. Naming them up front makes the vocabulary reproducible.
    characters = sorted({c for text in texts for c in trainer.normalize(text) if not c.isspace()})
    given = SPECIAL_TOKENS + [f"##{c}" for c in characters] + characters
    given += words[: size - len(given) - PIECES]
    trainer.train_from_iterator(
        texts,
        vocab_size=size,
        min_frequency=2,
        limit_alphabet=len(characters),
        initial_alphabet=characters,
        special_tokens=given,
        show_progress=False,
    )
    # By way of the file, so that what was given are ordinary tokens again.
    with tempfile.TemporaryDirectory() as folder:
        (vocabulary,) = trainer.save_model(folder)
        return BertTokenizerFast(vocabulary, do_lower_case=True, model_max_length=MAX_LENGTH)


def new_model(tokenizer: PreTrainedTokenizerFast) -> DistilBertForSequenceClassification:
    """A DistilBERT that is small enough to lie in a repository."""
    model = DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=MAX_LENGTH,
            dim=128,
            n_layers=2,
            n_heads=4,
            hidden_dim=256,
            dropout=0.15,
            attention_dropout=0.1,
            seq_classif_dropout=0.2,
            pad_token_id=tokenizer.pad_token_id,
            id2label=LABELS,
            label2id={name: index for index, name in LABELS.items()},
            problem_type="single_label_classification",
        )
    )
    # "not" then finds the word that it negates in a fraction of the steps.
    positions = model.distilbert.embeddings.position_embeddings.weight
    set_waves(positions, model.config.initializer_range)
    return model


def batches(
    corpus: SentimentCorpus,
    tokenizer: PreTrainedTokenizerFast,
    *,
    size: int,
    bare: int,
    unknown: float,
) -> Iterator[dict[str, torch.Tensor]]:
    """Fresh texts for ever, texts of about the same length together.

    The first ``bare`` batches are single statements with no word hidden: without them the model
    takes every negation for a complaint for thousands of steps.
    """
    together = 50
    for first in itertools.count(step=together):
        is_bare = first < bare
        examples = list(corpus.examples(size * together, bare=is_bare))
        token_ids = tokenizer([e.text for e in examples], truncation=True)["input_ids"]
        order = sorted(range(len(examples)), key=lambda i: len(token_ids[i]))
        starts = torch.randperm(together).tolist()
        for start in starts:
            chosen = order[start * size : (start + 1) * size]
            batch = tokenizer.pad({"input_ids": [token_ids[i] for i in chosen]})
            input_ids = torch.tensor(batch["input_ids"])
            # Hiding words makes the model weigh all of them, and accustoms it to unknown ones;
            # random words in place of some keep it from trusting any word that happens to occur
            # on one side only. The share differs from text to text: most lose little.
            share = torch.rand(size, 1) ** 2 * (0 if is_bare else unknown)
            hidden = torch.rand(input_ids.shape) < share
            hidden &= input_ids >= len(SPECIAL_TOKENS)
            noise = torch.randint(len(SPECIAL_TOKENS), len(tokenizer), input_ids.shape)
            noise[torch.rand(input_ids.shape) < 0.5] = tokenizer.unk_token_id
            yield {
                "input_ids": torch.where(hidden, noise, input_ids),
                "attention_mask": torch.tensor(batch["attention_mask"]),
                "labels": torch.tensor([examples[i].label for i in chosen]),
            }


def smoothed_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross entropy with smoothed labels: the texts are machine-made and some are ambiguous."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return torch.nn.functional.cross_entropy(logits, batch["labels"], label_smoothing=0.06)


def read_examples(path: Path) -> list[Example]:
    """Reads ``label<TAB>text`` lines; the label is a number or a name, ``#`` starts a comment."""
    numbers = {str(number): number for number in LABELS}
    numbers |= {name: number for number, name in LABELS.items()}
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        label, tab, text = line.partition("\t")
        if not tab or label.strip().upper() not in numbers:
            sys.exit(f"{path}:{number}: expected 0, 1, NEGATIVE or POSITIVE, a tab, and a text")
        examples.append(Example(text, numbers[label.strip().upper()]))
    if not examples:
        sys.exit(f"{path} has no sentences")
    return examples


def positive_scores(
    model: DistilBertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    texts: list[str],
) -> list[float]:
    """The probability of POSITIVE for each text."""
    model.eval()
    encoded = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**{k: encoded[k] for k in ("input_ids", "attention_mask")}).logits
    return logits.softmax(-1)[:, POSITIVE].tolist()


def report(
    title: str,
    examples: list[Example],
    model: DistilBertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """Prints the accuracy, for each label too, and the texts that were got wrong."""
    scores = positive_scores(model, tokenizer, [e.text for e in examples])
    right = [(score > 0.5) == (e.label == POSITIVE) for e, score in zip(examples, scores)]
    print(f"{title}: accuracy {sum(right) / len(right):.3f} ({sum(right)} of {len(right)})")
    for label, name in LABELS.items():
        mine = [ok for ok, example in zip(right, examples) if example.label == label]
        if mine:
            print(f"  {name}: {sum(mine) / len(mine):.3f} ({sum(mine)} of {len(mine)})")
    for example, score, ok in zip(examples, scores, right):
        if not ok:
            print(f"  wrong: {LABELS[example.label]} (POSITIVE {score:.2f}): {example.text}")


def main() -> None:
    """The command line."""
    parser = recipe(
        "sentiment",
        __doc__,
        steps=7000,
        batch_size=64,
        learning_rate=1e-3,
        vocabulary=7200,
    )
    parser.add_argument("--heldout", type=Path, help="label<TAB>text lines to report on as well")
    parser.add_argument(
        "--bare-steps", type=int, default=2500, help="how many of the steps see single statements"
    )
    parser.add_argument(
        "--unknown", type=float, default=0.3, help="the most that is hidden of a text, as a share"
    )
    arguments = parser.parse_args()
    heldout = read_examples(arguments.heldout) if arguments.heldout else []

    make_reproducible(arguments.seed, arguments.threads)
    if arguments.evaluate_only:
        tokenizer = BertTokenizerFast.from_pretrained(arguments.checkpoint)
        model = DistilBertForSequenceClassification.from_pretrained(arguments.checkpoint)
    else:
        started = time.monotonic()
        tokenizer = train_tokenizer(random.randrange(2**32), arguments.vocabulary)
        model = new_model(tokenizer)
        tell_size(model, tokenizer, arguments.threads)
        source = batches(
            SentimentCorpus(arguments.seed),
            tokenizer,
            size=arguments.batch_size,
            bare=arguments.bare_steps,
            unknown=arguments.unknown,
        )
        model = train(
            model,
            source,
            smoothed_loss,
            steps=arguments.steps,
            learning_rate=arguments.learning_rate,
        )
        save(model, tokenizer, arguments.checkpoint, started)

    report("development", read_examples(HERE / "sentiment_dev.tsv"), model, tokenizer)
    if heldout:
        report("held out", heldout, model, tokenizer)
    if arguments.export:
        export("sentiment", arguments.checkpoint, "sequence_classification")


if __name__ == "__main__":
    main()

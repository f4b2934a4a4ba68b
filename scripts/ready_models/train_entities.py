"""Trains the ready model ``model-assets/entities`` from scratch.

Builds the texts (entities_corpus.py), a cased WordPiece vocabulary and a small DistilBERT for
token classification, writes a Hugging Face checkpoint and prints its F1 on the development
sentences. Give ``--heldout FILE`` for the figures on sentences that nothing here was tuned on,
and ``--export`` to turn the checkpoint into a model folder with the project's exporter. It runs
in the exporter's virtual environment (torch, transformers), on one core:

    python3 scripts/exporter/bootstrap.py -- python scripts/ready_models/train_entities.py --export
"""

from __future__ import annotations

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
    DistilBertForTokenClassification,
    PreTrainedTokenizerFast,
    TokenClassificationPipeline,
)

from entities_corpus import TYPES, EntitiesCorpus, Entity, Example, parse_annotated
from training import export, make_reproducible, recipe, save, set_waves, tell_size, train

HERE = Path(__file__).resolve().parent
LABELS = ["O"] + [f"{prefix}-{kind}" for kind in TYPES for prefix in "BI"]
MAX_LENGTH = 128
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
IGNORED = -100  # the label of padding and special tokens, which the loss leaves out
VOCABULARY_TEXTS = 60_000
# A word must occur this often in those texts to become a token of its own, and this many tokens
# are left for the pieces of all other words.
WORD_COUNT = 8
PIECES = 1800


def train_tokenizer(seed: int, size: int) -> PreTrainedTokenizerFast:
    """Learns a WordPiece vocabulary from the texts. It keeps the case, and drops accents.

    The frequent words are given to the trainer, as it joins what goes together and not what is
    frequent; the rarer names are left to it to be broken into pieces, as unknown ones will be.
    """
    texts = [example.text for example in EntitiesCorpus(seed).examples(VOCABULARY_TEXTS)]
    trainer = BertWordPieceTokenizer(lowercase=False, strip_accents=True)
    texts = [trainer.normalize(text) for text in texts]
    counts = Counter(word for text in texts for word in re.findall(r"[A-Za-z]{2,}", text))
    words = sorted((w for w, n in counts.items() if n >= WORD_COUNT), key=lambda w: (-counts[w], w))
    # Named up front, because the trainer would number them in the order of a hash map.
    characters = sorted({c for text in texts for c in text if not c.isspace()})
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
        return BertTokenizerFast(
            vocabulary,
            do_lower_case=False,
            strip_accents=True,
            model_max_length=MAX_LENGTH,
            model_input_names=["input_ids", "attention_mask"],  # DistilBERT takes no more
        )


def new_model(tokenizer: PreTrainedTokenizerFast, layers: int) -> DistilBertForTokenClassification:
    """A DistilBERT that is small enough to lie in a repository."""
    model = DistilBertForTokenClassification(
        DistilBertConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=MAX_LENGTH,
            dim=128,
            n_layers=layers,
            n_heads=4,
            hidden_dim=256,
            dropout=0.1,
            attention_dropout=0.1,
            pad_token_id=tokenizer.pad_token_id,
            id2label=dict(enumerate(LABELS)),
            label2id={name: index for index, name in enumerate(LABELS)},
        )
    )
    set_waves(
        model.distilbert.embeddings.position_embeddings.weight, model.config.initializer_range
    )
    return model


def token_labels(example: Example, offsets: list[tuple[int, int]]) -> list[int]:
    """One label per token: B- for the first piece of an entity, I- for all its other pieces."""
    labels = [0 if end > start else IGNORED for start, end in offsets]
    for entity in example.entities:
        inside = [
            i
            for i, (start, end) in enumerate(offsets)
            if end > start and start >= entity.start and end <= entity.end
        ]
        for order, index in enumerate(inside):
            labels[index] = LABELS.index(f"{'I' if order else 'B'}-{entity.type}")
    return labels


def batches(
    corpus: EntitiesCorpus, tokenizer: PreTrainedTokenizerFast, *, size: int, unknown: float
) -> Iterator[dict[str, torch.Tensor]]:
    """Fresh texts for ever, texts of about the same length together.

    ``input_ids``, ``attention_mask`` and ``labels`` are all [size, tokens].
    """
    together = 50
    while True:
        examples = list(corpus.examples(size * together))
        encoded = tokenizer(
            [e.text for e in examples], truncation=True, return_offsets_mapping=True
        )
        token_ids = encoded["input_ids"]
        labels = [token_labels(e, o) for e, o in zip(examples, encoded["offset_mapping"])]
        order = sorted(range(len(examples)), key=lambda i: len(token_ids[i]))
        for start in torch.randperm(together).tolist():
            chosen = order[start * size : (start + 1) * size]
            batch = tokenizer.pad({"input_ids": [token_ids[i] for i in chosen]})
            input_ids = torch.tensor(batch["input_ids"])
            length = input_ids.shape[1]
            # Hiding some tokens makes the model weigh their neighbours. The share differs from
            # text to text: most lose little.
            share = torch.rand(size, 1) ** 2 * unknown
            hidden = torch.rand(input_ids.shape) < share
            hidden &= input_ids >= len(SPECIAL_TOKENS)
            noise = torch.randint(len(SPECIAL_TOKENS), len(tokenizer), input_ids.shape)
            noise[torch.rand(input_ids.shape) < 0.5] = tokenizer.unk_token_id
            yield {
                "input_ids": torch.where(hidden, noise, input_ids),
                "attention_mask": torch.tensor(batch["attention_mask"]),
                "labels": torch.tensor(
                    [labels[i] + [IGNORED] * (length - len(labels[i])) for i in chosen]
                ),
            }


def smoothed_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross entropy per token with smoothed labels: the texts are machine-made."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED, label_smoothing=0.03
    )


def read_examples(path: Path) -> list[Example]:
    """Reads annotated sentences, one per line; ``#`` starts a comment."""
    lines = path.read_text(encoding="utf-8").splitlines()
    examples = [parse_annotated(line) for line in lines if line.strip() and line[0] != "#"]
    if not any(example.entities for example in examples):
        sys.exit(f"{path} has no entities: mark them as in [Ada](PER) lives in [Turin](LOC).")
    return examples


def f1(found: int, expected: int, right: int) -> str:
    """Precision, recall and their harmonic mean, for people."""
    precision, recall = right / max(1, found), right / max(1, expected)
    mean = 2 * precision * recall / max(1e-9, precision + recall)
    return f"F1 {mean:.3f} (precision {precision:.3f}, recall {recall:.3f}, of {expected})"


def report(
    title: str,
    examples: list[Example],
    model: DistilBertForTokenClassification,
    tokenizer: PreTrainedTokenizerFast,
    *,
    show_errors: bool,
) -> None:
    """Prints the F1 of whole entities, exact span and type, of the Hugging Face pipeline."""
    model.eval()
    tagger = TokenClassificationPipeline(model=model, tokenizer=tokenizer, framework="pt")
    errors = []
    for strategy in ("first", "simple"):
        found, expected, right = Counter(), Counter(), Counter()
        for example in examples:
            answers = tagger(example.text, aggregation_strategy=strategy)
            mine = {Entity(a["start"], a["end"], a["entity_group"]) for a in answers}
            truth = set(example.entities)
            for counter, entities in ((found, mine), (expected, truth), (right, mine & truth)):
                counter.update(entity.type for entity in entities)
            if mine != truth and strategy == "first":
                wrong, missed = (
                    [f"{example.text[e.start : e.end]} {e.type}" for e in sorted(entities)]
                    for entities in (mine - truth, truth - mine)
                )
                errors.append(f"  wrong: {wrong}, missed: {missed}: {example.text}")
        print(f"{title}, aggregation_strategy={strategy}, {len(examples)} sentences")
        print(f"  all: {f1(*(sum(counter.values()) for counter in (found, expected, right)))}")
        for kind in TYPES:
            print(f"  {kind}: {f1(found[kind], expected[kind], right[kind])}")
    if show_errors:
        print("\n".join(errors))


def main() -> None:
    """The command line."""
    parser = recipe(
        "entities",
        __doc__,
        steps=7500,
        batch_size=48,
        learning_rate=1e-3,
        vocabulary=7500,
    )
    parser.add_argument("--heldout", type=Path, help="annotated sentences to report on as well")
    parser.add_argument(
        "--unknown", type=float, default=0.25, help="the most that is hidden of a text, as a share"
    )
    parser.add_argument("--layers", type=int, default=3)
    arguments = parser.parse_args()
    heldout = read_examples(arguments.heldout) if arguments.heldout else []

    make_reproducible(arguments.seed, arguments.threads)
    if arguments.evaluate_only:
        tokenizer = BertTokenizerFast.from_pretrained(arguments.checkpoint)
        model = DistilBertForTokenClassification.from_pretrained(arguments.checkpoint)
    else:
        started = time.monotonic()
        tokenizer = train_tokenizer(random.randrange(2**32), arguments.vocabulary)
        model = new_model(tokenizer, arguments.layers)
        tell_size(model, tokenizer, arguments.threads)
        source = batches(
            EntitiesCorpus(arguments.seed),
            tokenizer,
            size=arguments.batch_size,
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

    development = read_examples(HERE / "entities_dev.txt")
    report("development", development, model, tokenizer, show_errors=True)
    if heldout:
        report("held out", heldout, model, tokenizer, show_errors=False)
    if arguments.export:
        export("entities", arguments.checkpoint, "token_classification")


if __name__ == "__main__":
    main()

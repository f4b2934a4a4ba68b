"""Trains the ready model ``model-assets/answers`` from scratch.

Builds the pairs (answers_corpus.py), the WordPiece vocabulary and a small BERT for extractive
question answering, writes a Hugging Face checkpoint and prints exact match and F1 on the
development pairs. Give ``--heldout FILE`` for the figures on pairs that nothing here was tuned
on, and ``--export`` to turn the checkpoint into a model folder with the project's exporter. It
runs in the exporter's virtual environment (torch, transformers) on one core, in under half an hour:

    python3 scripts/exporter/bootstrap.py -- python scripts/ready_models/train_answers.py --export
"""

from __future__ import annotations

import itertools
import json
import math
import random
import re
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertTokenizerFast,
    PreTrainedTokenizerFast,
    pipeline,
)

from answers_corpus import AnswersCorpus
from sentiment_corpus import SentimentCorpus
from training import export, make_reproducible, recipe, save, tell_size, train

HERE = Path(__file__).resolve().parent
MAX_LENGTH = 256
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY_PAIRS = 30_000
PIECES = 1500
# So many of the most frequent tokens are the grammar of the texts, and are never exchanged.
GRAMMAR = 250
POSITION_DIMENSIONS = 32


def train_tokenizer(seed: int, size: int) -> tuple[PreTrainedTokenizerFast, list[int]]:
    """Learns a lower-casing WordPiece vocabulary; also returns the most frequent token ids.

    Words that are another one with an ending are left to the pieces, so that "visit ##ed" in the
    context meets "visit" in the question. The words of the sentiment material are taken in too:
    they teach nothing here, but a word with a token of its own is easier to find again.
    """
    pairs = AnswersCorpus(seed).pairs(VOCABULARY_PAIRS)
    texts = [f"{pair.question} {pair.context}" for pair in pairs]
    more = [example.text for example in SentimentCorpus(seed).material()]
    trainer = BertWordPieceTokenizer(lowercase=True)
    counts = Counter(
        word for text in texts for word in re.findall(r"[a-z]{2,}", trainer.normalize(text))
    )
    # Made-up names are rarely drawn twice; words of the lists are.
    known = {word for word, number in counts.items() if number >= 8}
    counts.update(
        word
        for word, number in Counter(
            word for text in more for word in re.findall(r"[a-z]{3,}", trainer.normalize(text))
        ).items()
        if number >= 2
    )
    words = sorted(known, key=lambda word: (-counts[word], word))
    words += sorted(counts.keys() - known, key=lambda word: (-counts[word], word))
    every = set(words)

    def is_inflected(word: str) -> bool:
        match = re.fullmatch(r"(\w{3,}?)(s|es|ed|ing|er|ly)|(\w{2,}e)d", word)
        return bool(match) and (match.group(1) or match.group(3)) in every

    words = [word for word in words if not is_inflected(word)]
    # The trainer numbers the continuation characters in the order of a hash map, which differs
    # from run to run and settles ties. Naming them up front makes the vocabulary reproducible.
    characters = sorted({c for text in texts for c in trainer.normalize(text) if not c.isspace()})
    endings = [f"##{ending}" for ending in ("s", "es", "ed", "ing", "er", "ly", "d")]
    given = SPECIAL_TOKENS + [f"##{c}" for c in characters] + characters
    given += [ending for ending in endings if ending not in given]
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
        tokenizer = BertTokenizerFast(vocabulary, do_lower_case=True, model_max_length=MAX_LENGTH)
    ids = itertools.chain.from_iterable(tokenizer(texts[:5000])["input_ids"])
    return tokenizer, [token for token, _ in Counter(ids).most_common(GRAMMAR)]


def new_model(tokenizer: PreTrainedTokenizerFast) -> BertForQuestionAnswering:
    """A small BERT whose first layers compare words and look at neighbours from the start."""
    config = BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=MAX_LENGTH,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.05,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = BertForQuestionAnswering(config)
    scale, width = config.initializer_range, config.hidden_size
    head = width // config.num_attention_heads
    of_words = width - POSITION_DIMENSIONS
    embeddings = model.bert.embeddings
    # Waves, in dimensions of their own: a head can then find the neighbour by turning them.
    speeds = 1.5 * torch.logspace(0, -2.2, POSITION_DIMENSIONS // 2)
    angles = torch.arange(MAX_LENGTH)[:, None] * speeds
    with torch.no_grad():
        embeddings.word_embeddings.weight[:, of_words:] = 0
        embeddings.position_embeddings.weight.zero_()
        embeddings.position_embeddings.weight[:, of_words:] = (
            torch.cat([angles.sin(), angles.cos()], dim=1) * scale * math.sqrt(2)
        )
        for layer in model.bert.encoder.layer[:2]:
            query, key = layer.attention.self.query, layer.attention.self.key
            # Head 0 attends to the same word elsewhere: query and key are the same projection.
            same = torch.linalg.qr(torch.randn(of_words, head)).Q.T
            query.weight[:head] = 0
            key.weight[:head] = 0
            query.weight[:head, :of_words] = same
            key.weight[:head, :of_words] = same
            # Heads 1 and 2 attend to the word before and the word after.
            for number, step in ((1, -1.0), (2, 1.0)):
                rows = slice(number * head, (number + 1) * head)
                cos, sin = torch.diag((step * speeds).cos()), torch.diag((step * speeds).sin())
                query.weight[rows] = 0
                key.weight[rows] = 0
                query.weight[rows, of_words:] = 3**0.5 * torch.cat(
                    [torch.cat([cos, sin], dim=1), torch.cat([-sin, cos], dim=1)]
                )
                key.weight[rows, of_words:] = 3**0.5 * torch.eye(POSITION_DIMENSIONS)
    return model


class WithFactHint(torch.nn.Module):
    """The model with a help for training: its third layer must tell which sentence is asked for.

    To find the fact is the hard part, and the span alone says little about it at first. The help
    is thrown away after the training.
    """

    def __init__(self, model: BertForQuestionAnswering) -> None:
        super().__init__()
        self.model = model
        self.hint = torch.nn.Linear(model.config.hidden_size, 1)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The mean cross entropy of start and end; the gradient is that of the hint as well."""
        inputs = {name: value for name, value in batch.items() if name != "facts"}
        output = self.model(**inputs, output_hidden_states=True)
        logits = self.hint(output.hidden_states[-2]).squeeze(-1)
        context = batch["token_type_ids"].float()
        hint = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, batch["facts"], weight=context, reduction="sum"
        )
        hint = hint / context.sum()
        return output.loss + hint - hint.detach()


def longest_context(progress: float) -> int:
    """How many facts a context may hold after this share of the training: easy ones first."""
    for share, facts in ((0.06, 1), (0.2, 2), (0.4, 3), (0.6, 4)):
        if progress < share:
            return facts
    return 5


def batches(
    corpus: AnswersCorpus,
    tokenizer: PreTrainedTokenizerFast,
    grammar: list[int],
    *,
    size: int,
    steps: int,
    exchanged: float,
) -> Iterator[dict[str, torch.Tensor]]:
    """Fresh pairs for ever, texts of about the same length together."""
    together = 50
    exchangeable = torch.ones(len(tokenizer), dtype=torch.bool)
    exchangeable[grammar] = False
    exchangeable[: len(SPECIAL_TOKENS)] = False
    candidates = exchangeable.nonzero().flatten()
    for first in itertools.count(step=together):
        pairs = list(corpus.pairs(size * together, longest=longest_context(first / steps)))
        encoded = tokenizer(
            [pair.question for pair in pairs],
            [pair.context for pair in pairs],
            truncation="only_second",
        )
        rows = []
        for index, pair in enumerate(pairs):
            start = encoded.char_to_token(index, pair.start, sequence_index=1)
            end = encoded.char_to_token(index, pair.end - 1, sequence_index=1)
            fact = encoded.char_to_token(index, pair.fact_start, sequence_index=1)
            fact_end = encoded.char_to_token(index, pair.fact_end - 1, sequence_index=1)
            if None not in (start, end, fact, fact_end):
                length = len(encoded["input_ids"][index])
                rows.append((length, index, start, end, fact, fact_end))
        rows.sort()
        starts = range(0, len(rows) - size + 1, size)
        for position in torch.randperm(len(starts)).tolist():
            chosen = rows[starts[position] : starts[position] + size]
            batch = tokenizer.pad(
                {
                    name: [encoded[name][index] for _, index, *_ in chosen]
                    for name in ("input_ids", "token_type_ids", "attention_mask")
                },
                return_tensors="pt",
            )
            ids = batch["input_ids"]
            # Words give way to other words, the same everywhere in a text: what then still leads
            # to the answer is where they stand and that they are the same, not what they mean.
            share = (torch.rand(size, 1) - 0.5).clamp(min=0) * 2 * exchanged
            table = torch.arange(len(tokenizer)).repeat(size, 1)
            given_up = (torch.rand(table.shape) < share) & exchangeable
            others = candidates[torch.randint(len(candidates), (int(given_up.sum()),))]
            table[given_up] = others
            # Later positions are trained by moving some texts there.
            room = MAX_LENGTH - ids.shape[1]
            shift = (torch.rand(size, 1) - 0.5).clamp(min=0) * 2 * room
            places = torch.arange(ids.shape[1])
            yield {
                "input_ids": table.gather(1, ids),
                "token_type_ids": batch["token_type_ids"],
                "attention_mask": batch["attention_mask"],
                "position_ids": places + shift.long(),
                "start_positions": torch.tensor([row[2] for row in chosen]),
                "end_positions": torch.tensor([row[3] for row in chosen]),
                "facts": torch.stack([(places >= row[4]) & (places <= row[5]) for row in chosen])
                * 1.0,
            }


def read_pairs(path: Path) -> list[dict]:
    """Reads a JSON object with ``question``, ``context`` and ``answers`` from each line."""
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            pair = json.loads(line)
        except ValueError:
            pair = None
        if not isinstance(pair, dict) or not {"question", "context", "answers"} <= pair.keys():
            sys.exit(f"{path}:{number}: expected an object with question, context and answers")
        pairs.append(pair)
    if not pairs:
        sys.exit(f"{path} has no pairs")
    return pairs


def normalized(answer: str) -> list[str]:
    """The words of an answer as SQuAD compares them: no case, punctuation or articles."""
    plain = "".join(c for c in answer.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def f1(answer: str, expected: str) -> float:
    """The F1 of the words that two answers have in common, as in SQuAD's evaluation."""
    given, right = normalized(answer), normalized(expected)
    common = sum((Counter(given) & Counter(right)).values())
    return 2 * common / (len(given) + len(right)) if common else float(given == right)


def report(title: str, pairs: list[dict], answerer: object) -> None:
    """Prints exact match and F1, by question word too, and the pairs that were got wrong."""
    answers = [answerer(question=p["question"], context=p["context"]) for p in pairs]
    scores = []
    for pair, given in zip(pairs, answers):
        exact = max(normalized(given["answer"]) == normalized(a) for a in pair["answers"])
        scores.append((exact, max(f1(given["answer"], a) for a in pair["answers"])))
    exact, overlap = (sum(column) / len(pairs) for column in zip(*scores))
    right = sum(score[0] for score in scores)
    print(f"{title}: exact match {exact:.3f} ({right} of {len(pairs)}), F1 {overlap:.3f}")
    kinds = [re.search(r"how many|how much|how|wh\w+|$", p["question"].lower())[0] for p in pairs]
    for kind, number in Counter(kinds).most_common():
        mine = [score[0] for score, other in zip(scores, kinds) if other == kind]
        print(f"  {kind or 'other'}: {sum(mine)} of {number}")
    for pair, given, (exact, _) in zip(pairs, answers, scores):
        if not exact:
            print(
                f"  wrong: {pair['question']} -> {given['answer']!r} ({given['score']:.2f}), "
                f"expected {pair['answers'][0]!r}"
            )


def main() -> None:
    """The command line."""
    parser = recipe(
        "answers",
        __doc__,
        steps=7500,
        batch_size=20,
        learning_rate=1.5e-3,
        vocabulary=6000,
    )
    parser.add_argument("--heldout", type=Path, help="JSON lines of pairs to report on as well")
    parser.add_argument(
        "--exchanged",
        type=float,
        default=0.4,
        help="the most that is exchanged of a text, as a share",
    )
    arguments = parser.parse_args()
    heldout = read_pairs(arguments.heldout) if arguments.heldout else []

    make_reproducible(arguments.seed, arguments.threads)
    if arguments.evaluate_only:
        tokenizer = BertTokenizerFast.from_pretrained(arguments.checkpoint)
        model = BertForQuestionAnswering.from_pretrained(arguments.checkpoint)
    else:
        started = time.monotonic()
        tokenizer, grammar = train_tokenizer(random.randrange(2**32), arguments.vocabulary)
        model = new_model(tokenizer)
        tell_size(model, tokenizer, arguments.threads)
        source = batches(
            AnswersCorpus(arguments.seed),
            tokenizer,
            grammar,
            size=arguments.batch_size,
            steps=arguments.steps,
            exchanged=arguments.exchanged,
        )
        model = train(
            WithFactHint(model),
            source,
            lambda hinted, batch: hinted(batch),
            steps=arguments.steps,
            learning_rate=arguments.learning_rate,
        ).model
        save(model, tokenizer, arguments.checkpoint, started)

    answerer = pipeline("question-answering", model=model.eval(), tokenizer=tokenizer)
    fresh = [
        {"question": p.question, "context": p.context, "answers": [p.answer]}
        for p in AnswersCorpus(arguments.seed + 1).pairs(200)
    ]
    report("fresh pairs of the generator", fresh, answerer)
    report("development", read_pairs(HERE / "answers_dev.jsonl"), answerer)
    if heldout:
        report("held out", heldout, answerer)
    if arguments.export:
        export("answers", arguments.checkpoint, "question_answering")


if __name__ == "__main__":
    main()

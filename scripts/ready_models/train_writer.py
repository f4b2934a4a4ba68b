"""Trains the ready model ``model-assets/writer`` from scratch.

Builds the stories (writer_corpus.py), a byte-level BPE vocabulary and a small GPT-2, writes a
Hugging Face checkpoint and prints its perplexity on stories that it was not trained on, how varied
and how new its texts are, and three of them. ``--export`` turns the checkpoint into a model folder
with the project's exporter. It runs in the exporter's virtual environment (torch, transformers) and
takes about twenty minutes of processor time on one core:

    python3 scripts/exporter/bootstrap.py -- python scripts/ready_models/train_writer.py --export
"""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2TokenizerFast,
    PreTrainedTokenizerFast,
)

from sentiment_corpus import read_sentences
from training import export, make_reproducible, recipe, save, set_waves, tell_size, train
from writer_corpus import WriterCorpus, sentences_of

HERE = Path(__file__).resolve().parent
POSITIONS = 256
END = "<|endoftext|>"
VOCABULARY_STORIES = 30_000
# How much of the grammar is searched for what the model wrote, in stories.
COMPARED_STORIES = 50_000
NOVELTY_WORDS = 8
SAMPLES = 100
SAMPLING = {"do_sample": True, "temperature": 0.7}
PROMPTS = (
    "Once upon a time",
    "The little fox",
    "One day",
    "There was a",
    "Tom and Mia",
    "The old man",
    "It was a cold winter day",
    "A small bird",
    "My dog",
    "The king wanted",
    "In the forest",
    "Lily was sad because",
    "The dragon was afraid of",
    "A girl named Ella found a key",
    '"Can you help me?" asked the rabbit.',
    "When the sun came up",
    "The bear was very hungry",
    "Long ago, there was a queen",
    "The robot wanted to learn to dance.",
    "It was late, but the kitten could not sleep.",
)


def train_tokenizer(seed: int, size: int) -> PreTrainedTokenizerFast:
    """Learns a byte-level BPE vocabulary from the stories."""
    corpus = WriterCorpus(seed)
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(
        corpus.stories(VOCABULARY_STORIES),
        vocab_size=size,
        min_frequency=2,
        special_tokens=[END],
        show_progress=False,
    )
    return GPT2TokenizerFast(
        tokenizer_object=trainer._tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        unk_token=END,
        model_max_length=POSITIONS,
    )


def new_model(tokenizer: PreTrainedTokenizerFast, layers: int) -> GPT2LMHeadModel:
    """A GPT-2 that is small enough to lie in a repository."""
    end = tokenizer.eos_token_id
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=POSITIONS,
            n_embd=128,
            n_layer=layers,
            n_head=4,
            # The same function as "gelu_new", but in one pass: a step takes a seventh less.
            activation_function="gelu_pytorch_tanh",
            # The stories never end: there is nothing to learn by heart that dropout would forget.
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    set_waves(model.transformer.wpe.weight, model.config.initializer_range)
    # Greedy, so that the same prompt gives the same story.
    model.generation_config = GenerationConfig(
        max_new_tokens=120,
        do_sample=False,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    return model


def batches(
    corpus: WriterCorpus, tokenizer: PreTrainedTokenizerFast, *, size: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Fresh stories for ever, stories of about the same length together.

    Some begin in the middle, since a prompt may, and some with the end of another one, since an
    empty prompt does. Some stand at a later position, so that all positions are learnt.
    """
    together = 100
    while True:
        rows = []
        for story in corpus.stories(size * together):
            text = story
            if random.random() < 0.15:
                sentences = sentences_of(story)
                text = " ".join(sentences[random.randrange(len(sentences)) :])
            ids = tokenizer(text + END)["input_ids"][:POSITIONS]
            rows.append([tokenizer.bos_token_id, *ids] if random.random() < 0.2 else ids)
        rows.sort(key=len)
        for start in torch.randperm(together).tolist():
            chosen = rows[start * size : (start + 1) * size]
            length = min(max(map(len, chosen)), POSITIONS)
            input_ids = torch.full((size, length), tokenizer.pad_token_id)
            labels = torch.full((size, length), -100)
            for row, ids in enumerate(chosen):
                ids = ids[:length]
                input_ids[row, : len(ids)] = labels[row, : len(ids)] = torch.tensor(ids)
            offset = torch.randint(POSITIONS - length + 1, (size, 1))
            offset[torch.rand(size, 1) < 0.8] = 0
            yield {
                "input_ids": input_ids,
                "position_ids": offset + torch.arange(length),
                "labels": labels,
            }


def loss_of(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross entropy of the next token. What is padded stands last, so no mask is needed."""
    logits = model(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
    ).logits[:, :-1]
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100
    )


def perplexity(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, stories: list[str]
) -> tuple[float, float]:
    """The perplexity per token and per word, the end of a story counted as a token.

    Per word is ``exp(sum of the losses / number of words)``, which does not depend on the
    vocabulary; words are what white space separates.
    """
    total, tokens, words = 0.0, 0, 0
    with torch.inference_mode():
        for story in stories:
            ids = torch.tensor([tokenizer(END + story + END)["input_ids"]])
            count = ids.shape[1] - 1
            total += model(input_ids=ids, labels=ids).loss.item() * count
            tokens += count
            words += len(story.split())
    return math.exp(total / tokens), math.exp(total / words)


def write(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, prompt: str, **settings: object
) -> tuple[str, bool]:
    """The prompt with its continuation, and whether that ends by itself."""
    encoded = tokenizer(prompt, return_tensors="pt")
    with torch.inference_mode():
        ids = model.generate(**encoded, **settings)[0]
    ends = ids[-1].item() == tokenizer.eos_token_id
    return tokenizer.decode(ids, skip_special_tokens=True), ends


def runs(text: str, length: int) -> list[tuple[str, ...]]:
    """All sequences of ``length`` words in ``text``."""
    words = text.split()
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]


def keeps_to_its_characters(text: str, corpus: WriterCorpus) -> bool:
    """Whether at most two names and two kinds of creature occur, as in nearly every plot."""
    words = set(re.findall(r"[A-Za-z]+", text))
    return len(words & corpus.names) <= 2 and len(words & corpus.creatures) <= 2


def report(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    """Prints what the card tells: perplexity, variety, novelty and three samples."""
    model.eval()
    corpus = WriterCorpus(seed + 1)
    fresh = list(corpus.stories(300, written=0.0))
    for title, stories in (
        ("held out", read_sentences(HERE / "writer_heldout.txt")),
        ("fresh stories of the plots", fresh),
    ):
        by_token, by_word = perplexity(model, tokenizer, stories)
        print(
            f"{title}: {len(stories)} stories, perplexity {by_token:.2f} per token, "
            f"{by_word:.2f} per word"
        )

    greedy = [write(model, tokenizer, prompt) for prompt in PROMPTS]
    for text, ends in greedy:
        print(f"  greedy{'' if ends else ' (cut)'}: {text}")
    threes = [three for text, _ in greedy for three in runs(text, 3)]
    within = [len(set(runs(text, 3))) / len(runs(text, 3)) for text, _ in greedy]
    print(
        f"greedy, {len(PROMPTS)} prompts: {sum(ends for _, ends in greedy)} end by themselves; "
        f"distinct sequences of 3 words: {len(set(threes)) / len(threes):.2f} over all texts, "
        f"{sum(within) / len(within):.2f} within a text (least {min(within):.2f})"
    )

    torch.manual_seed(seed)
    sampled = [
        write(model, tokenizer, PROMPTS[i % len(PROMPTS)], **SAMPLING) for i in range(SAMPLES)
    ]
    known_runs: set[tuple[str, ...]] = set()
    known_sentences: set[str] = set()
    known_stories: set[str] = set()
    for story in WriterCorpus(seed).stories(COMPARED_STORIES):
        known_runs.update(runs(story, NOVELTY_WORDS))
        known_sentences.update(sentences_of(story))
        known_stories.add(story)
    texts = [text for text, _ in sampled]
    eights = [eight for text in texts for eight in runs(text, NOVELTY_WORDS)]
    sentences = [sentence for text in texts for sentence in sentences_of(text)]
    print(
        f"sampled, {SAMPLES} texts: {sum(ends for _, ends in sampled)} end by themselves; "
        f"found in {COMPARED_STORIES:,} training stories: "
        f"{sum(e in known_runs for e in eights) / len(eights):.2f} of the sequences of "
        f"{NOVELTY_WORDS} words, "
        f"{sum(s in known_sentences for s in sentences) / len(sentences):.2f} of the sentences, "
        f"{sum(t in known_stories for t in texts)} whole texts"
    )
    for title, stories in (("sampled texts", texts), ("fresh stories of the plots", fresh)):
        kept = sum(keeps_to_its_characters(story, corpus) for story in stories)
        print(f"{title} that keep to their characters: {kept / len(stories):.2f}")
    for text in texts[:3]:
        print(f"  sampled: {text}")


def main() -> None:
    """The command line."""
    parser = recipe(
        "writer",
        __doc__,
        steps=6500,
        batch_size=16,
        learning_rate=2e-3,
        vocabulary=2048,
    )
    parser.add_argument("--layers", type=int, default=4)
    arguments = parser.parse_args()

    make_reproducible(arguments.seed, arguments.threads)
    if arguments.evaluate_only:
        tokenizer = GPT2TokenizerFast.from_pretrained(arguments.checkpoint)
        model = GPT2LMHeadModel.from_pretrained(arguments.checkpoint)
    else:
        started = time.monotonic()
        tokenizer = train_tokenizer(random.randrange(2**32), arguments.vocabulary)
        model = new_model(tokenizer, arguments.layers)
        tell_size(model, tokenizer, arguments.threads)
        source = batches(WriterCorpus(arguments.seed), tokenizer, size=arguments.batch_size)
        model = train(
            model,
            source,
            loss_of,
            steps=arguments.steps,
            learning_rate=arguments.learning_rate,
        )
        save(model, tokenizer, arguments.checkpoint, started)

    report(model, tokenizer, arguments.seed)
    if arguments.export:
        export("writer", arguments.checkpoint, "text_generation")


if __name__ == "__main__":
    main()

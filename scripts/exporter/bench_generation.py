"""Generated tokens per second, Kafka to Kafka, against transformers' ``generate()`` and
CTranslate2: 32 prompts of mixed lengths that want 10 to 100 new tokens, greedily; and one prompt
alone.

The prompts are sent at once when the job is warm; the clock runs from when the broker appends the
first of them to when it appends the last result. The others take prompts that want about the same
number of tokens together; only tokens that were asked for count.
"""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GPT2Config, GPT2TokenizerFast
from transformers.utils import logging

import bench_common
from bench_common import (
    HERE,
    Phase,
    add_precisions,
    check_options,
    cores,
    cpu_of,
    entry,
    measure_undisturbed,
    parser_of,
    print_bounds,
    print_table,
    say,
    taken_of,
    tell_noise,
    write_json,
)
from bench_engines import Engine, EngineError, Label, Layout, Running, layouts
from bench_kafka import Cluster, Pipeline
from bench_models import SEED, made_once, make_texts, words
from labelstream_export.export import export
from labelstream_export.tasks import TEXT_GENERATION

PROMPTS, ROUNDS = 32, 2
LONGEST_PROMPT = 64  # words
FEWEST, MOST = 10, 100  # new tokens
ALONE = 50  # new tokens of a prompt alone
ALONE_TIMES = 5
PRECISIONS = ("fp32", "int8")
VOCABULARY = 50_257
POSITIONS = 1024
END = "<|endoftext|>"
GENERATE, CTRANSLATE2 = "generate()", "CTranslate2"
TO_GENERATE, TO_CTRANSLATE2, ALONE_TO_GENERATE = 2.0, 1.2, 1.0

Asked = tuple[str, int]  # a prompt, and how many new tokens it wants


def make_prompts() -> list[Asked]:
    """Prompts, which are the same each time."""
    texts = [" ".join(text.split()[:LONGEST_PROMPT]) for text in make_texts(PROMPTS)]
    wanted = [round(FEWEST + (MOST - FEWEST) * place / (PROMPTS - 1)) for place in range(PROMPTS)]
    random.Random(SEED).shuffle(wanted)
    return list(zip(texts, wanted))


def generator_checkpoint(layers: int = 6) -> Path:
    """The Hugging Face folder of a GPT-2 with random weights, and a token for each word."""
    return made_once(
        bench_common.STATE / f"gpt2-{layers}-checkpoint",
        [Path(__file__), HERE / "bench_models.py", HERE / "requirements.txt"],
        lambda folder: _make_checkpoint(folder, layers),
    )


def generator_model(precision: str, layers: int = 6) -> Path:
    """The model folder of that checkpoint, as the exporter makes it."""
    checkpoint = generator_checkpoint(layers)
    return made_once(
        bench_common.STATE / f"gpt2-{layers}-{precision}",
        [Path(__file__), HERE / "requirements.txt", *HERE.glob("labelstream_export/*.py")],
        lambda folder: export(
            checkpoint=str(checkpoint), task=TEXT_GENERATION, output=folder, precision=precision
        ),
    )


def _make_checkpoint(folder: Path, layers: int) -> None:
    folder.mkdir()
    _make_tokenizer(folder)
    tokenizer = GPT2TokenizerFast(
        *(str(folder / name) for name in ("vocab.json", "merges.txt")), model_max_length=POSITIONS
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(SEED)
    end = tokenizer.eos_token_id
    config = GPT2Config(n_layer=layers, n_positions=POSITIONS, bos_token_id=end, eos_token_id=end)
    model = transformers.GPT2LMHeadModel(config).eval()
    model.save_pretrained(folder)


def _make_tokenizer(folder: Path) -> None:
    """Merges of letters to syllables, and of these to words."""
    letters = sorted(tokenizer_bytes())
    vocabulary, merges = list(letters), []

    def merge(one: str, other: str) -> None:
        if one + other not in known and len(vocabulary) < VOCABULARY - 1:
            known.add(one + other)
            vocabulary.append(one + other)
            merges.append(f"{one} {other}")

    known = set(vocabulary)
    made = words()
    syllables = list(dict.fromkeys(word[4:6] for word in made))
    for syllable in syllables:
        merge(syllable[0], syllable[1])
    for syllable in syllables:
        merge("Ġ", syllable)
    for word in made:
        merge(f"Ġ{word[:2]}", word[2:4])
    for word in made:
        merge(f"Ġ{word[:4]}", word[4:6])
    fill = (f"Ġ{number}" for number in range(VOCABULARY))
    while len(vocabulary) < VOCABULARY - 1:
        vocabulary.append(next(fill))
    vocabulary.append(END)
    ids = {token: place for place, token in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(ids), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", "utf-8")


def tokenizer_bytes() -> list[str]:
    """The characters that stand for bytes in GPT-2's vocabulary."""
    from tokenizers.pre_tokenizers import ByteLevel

    return ByteLevel.alphabet()


def batches(asked: Sequence[Asked], size: int) -> list[list[Asked]]:
    """Prompts that want about the same number of tokens together."""
    ordered = sorted(asked, key=lambda each: -each[1])
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def generate(checkpoint: Path, size: str, layout: Layout) -> Label:
    """transformers' ``generate()``."""
    torch.set_num_threads(layout.threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint).eval()

    def do(asked: Sequence[Asked]) -> list[int]:
        for batch in batches(asked, int(size)):
            encoded = tokenizer([text for text, _ in batch], padding=True, return_tensors="pt")
            new = max(wanted for _, wanted in batch)
            with torch.inference_mode():
                made = model.generate(
                    **encoded, max_new_tokens=new, min_new_tokens=new, do_sample=False
                )
            tokenizer.batch_decode(made[:, encoded["input_ids"].shape[1] :])
        return [wanted for _, wanted in asked]

    return do


def ctranslate2(checkpoint: Path, setting: str, layout: Layout) -> Label:
    """CTranslate2's generator; the setting is its precision and the size of its batches."""
    import ctranslate2

    precision, size = setting.split("/")
    generator = ctranslate2.Generator(
        str(ctranslate2_generator(checkpoint)),
        compute_type={"fp32": "float32"}.get(precision, precision),
        inter_threads=layout.streams,
        intra_threads=layout.threads,
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)

    def do(asked: Sequence[Asked]) -> list[int]:
        running = []
        for batch in batches(asked, int(size)):
            tokens = [tokenizer.tokenize(text) for text, _ in batch]
            new = max(wanted for _, wanted in batch)
            running += generator.generate_batch(
                tokens,
                max_length=new,
                min_length=new,
                include_prompt_in_result=False,
                asynchronous=True,
            )
        for result in running:
            tokenizer.decode(result.result().sequences_ids[0])
        return [wanted for _, wanted in asked]

    return do


def ctranslate2_generator(checkpoint: Path) -> Path:
    """The folder of CTranslate2's model in fp32, which it quantizes when it loads."""

    def make(folder: Path) -> None:
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(str(checkpoint)).convert(str(folder))

    sources = [Path(__file__), HERE / "requirements-bench.txt", checkpoint / "config.json"]
    return made_once(bench_common.STATE / "ctranslate2-gpt2", sources, make)


def engines(precisions: Sequence[str]) -> list[Engine]:
    """All that Labelstream is measured against."""
    each = tuple(layouts())
    found = [
        Engine(f"{GENERATE} fp32, batch {size}", generate, size, (each[0],)) for size in ("1", "8")
    ]
    for precision in precisions:
        for size in ("8", "32"):
            name = f"{CTRANSLATE2} {precision}, batch {size}"
            found.append(Engine(name, ctranslate2, f"{precision}/{size}", each))
    return found


def values_of(asked: Sequence[Asked], first: int) -> list[bytes]:
    """Prompts as records; ids go on from ``first``."""
    return [
        json.dumps(
            {
                "id": str(first + place),
                "text": text,
                "parameters": {"max_new_tokens": wanted, "min_new_tokens": wanted},
            }
        ).encode()
        for place, (text, wanted) in enumerate(asked)
    ]


def measure_ours(pipeline: Pipeline, asked: Sequence[Asked]) -> Phase:
    """Sends prompts at once; the results are the numbers of tokens."""
    first = pipeline.sent
    watch = pipeline.watch()
    pipeline.send(values_of(asked, first))
    pipeline.wait(pipeline.sent)
    load = watch.stop(None)
    out = [each for each in pipeline.out() if each.place >= first]
    seconds = (max(each.milliseconds for each in out) - pipeline.appended(first)) / 1000
    tokens = [each.result["generated_tokens"] for each in out]
    return Phase(seconds, tokens, load.cpu, load.taken)


def run(precisions: Sequence[str], rounds: int) -> dict[str, dict[str, Any]]:
    """All measurements: of each side its phases, tokens per second, seconds to a first token, and
    tokens per second alone."""
    asked = make_prompts()
    some = [(text, FEWEST) for text, _ in asked[:8]]
    one, first = [(asked[0][0], ALONE)], [(asked[0][0], 1)]
    checkpoint = generator_checkpoint()
    for precision in precisions:
        generator_model(precision)
    sides: dict[str, dict[str, Any]] = {}

    def keep(name: str, phase: Phase, tokens: int) -> None:
        side = sides.setdefault(name, {"phases": [], "speed": 0.0})
        side["phases"].append(phase)
        side["speed"] = max(side["speed"], tokens / phase.seconds)

    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        with Cluster() as cluster:
            for precision in precisions:
                name = f"Labelstream {precision}"
                with Pipeline(cluster, generator_model(precision)) as pipeline:
                    pipeline.start()
                    for warm in (asked, some):
                        pipeline.send(values_of(warm, pipeline.sent))
                        pipeline.wait(pipeline.sent)
                    phase = measure_undisturbed(name, lambda: measure_ours(pipeline, asked))  # noqa: B023
                    keep(name, phase, sum(phase.results))
                    if number == 1:
                        times = [
                            [measure_ours(pipeline, what).seconds for _ in range(ALONE_TIMES)]
                            for what in (first, one)
                        ]
                        sides[name]["first"], alone = map(statistics.median, times)
                        sides[name]["alone"] = ALONE / alone
        for engine in engines(precisions):
            for layout in engine.layouts:
                name = f"{engine.name}, {layout}"
                try:
                    with Running(engine, layout, checkpoint, asked, some) as running:
                        phase = measure_undisturbed(name, running.measure)
                    keep(name, phase, phase.results[1] * sum(wanted for _, wanted in asked))
                    if number == 1 and layout == layouts()[0]:
                        for key, what in (("first", first), ("alone", one)):
                            with Running(engine, layout, checkpoint, what, what) as running:
                                phase = running.measure()
                            seconds = phase.seconds / phase.results[1]
                            sides[name][key] = seconds if key == "first" else ALONE / seconds
                except EngineError as error:
                    say(f"{error}: it is left out")
    return sides


def compare(sides: dict[str, dict[str, Any]], precisions: Sequence[str]) -> list[dict[str, Any]]:
    """The content of the JSON file."""

    def best(start: str, key: str) -> float:
        found = [side.get(key, 0) for name, side in sides.items() if name.startswith(start)]
        return max(found, default=0)

    entries = []
    for precision in precisions:
        side, name = sides[f"Labelstream {precision}"], f"generation.{precision}"
        entries.append(entry(f"{name}.tokens_per_second", side["speed"], "tokens/s"))
        entries.append(entry(f"{name}.seconds_to_first_token", side["first"], "s"))
        compared = [
            ("to_generate", "speed", f"{GENERATE} fp32, batch 8", TO_GENERATE),
            ("to_ctranslate2", "speed", f"{CTRANSLATE2} {precision}", TO_CTRANSLATE2),
            ("alone_to_generate", "alone", f"{GENERATE} fp32, batch 1", ALONE_TO_GENERATE),
        ]
        for what, key, other, bound in compared:
            if best(other, key):
                entries.append(
                    entry(f"{name}.{what}", side[key] / best(other, key), "ratio", bound)
                )
    return entries


def report(sides: dict[str, dict[str, Any]], precisions: Sequence[str]) -> list[dict[str, Any]]:
    """Prints the tables; returns the content of the JSON file."""
    heads = ["", "tokens/s", "alone", "first token (ms)", "CPU/wall", "others took"]
    rows = [heads]
    for name, side in sorted(sides.items(), key=lambda item: item[1]["speed"]):
        rows.append(
            [
                name,
                f"{side['speed']:,.0f}",
                f"{side['alone']:,.0f}" if "alone" in side else "",
                f"{side['first'] * 1000:,.0f}" if "first" in side else "",
                ", ".join(map(cpu_of, side["phases"])),
                ", ".join(map(taken_of, side["phases"])),
            ]
        )
    print_table(rows)
    print()
    entries = compare(sides, precisions)
    print_bounds(entries)
    tell_noise([phase for side in sides.values() for phase in side["phases"]])
    return entries


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table, and writes the JSON file."""
    parser = parser_of("generation", __doc__)
    add_precisions(parser, PRECISIONS, "fp32,int8")
    parser.add_argument("--rounds", type=int, metavar="N", default=ROUNDS)
    options = parser.parse_args(arguments)
    check_options(parser, options)
    logging.set_verbosity_error()
    print(
        f"{PROMPTS} prompts, {FEWEST} to {MOST} new tokens each, GPT-2 of 6 layers, {cores()} "
        f"cores; alone: {ALONE} new tokens\n"
    )
    write_json(options.json, report(run(options.precisions, options.rounds), options.precisions))


if __name__ == "__main__":
    main()

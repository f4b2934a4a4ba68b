"""Makes the parity fixtures that the Java side is tested against.

    cd scripts/exporter
    python3 bootstrap.py -- python make_fixtures.py [--output FOLDER] [--only NAME...]

What is written: ``texts.json`` with the lists ``texts`` and ``pairs`` for sequence classification,
``inputs.json`` with ``entities``, ``long_entities``, ``questions`` and ``prompts`` for the other
tasks, and for each fixture a model folder, made by the exporter, with a ``NAME.expected.json``
beside it. What is expected comes from the transformers pipeline alone, one text at a time, on the
checkpoint and not on the export:

    {"task": ..., "transformers": ..., "cases": [
      {"name": "default", "inputs": "texts", "parameters": {}, "results": [...]}]}

``results`` has one entry for each entry of the list that ``inputs`` names, in its order. For
sequence classification that is ``{"scores": [{"label", "score"}, ...], "tokens": 12, "truncated":
false}``, with all labels, best first. For the other tasks see ``fixture_results.run``; a case says
in ``columns`` what each row holds. A fixture in reduced precision is a model folder alone: its
``expected`` is that of the same name without the precision.

``processors.expected.json`` has scores before and after transformers' logits processors, and
``decoders.expected.json`` what its tokenizers make of groups of tokens.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging

import fixture_decoders
import fixture_processors
import fixture_results
import fixture_texts
import sweep
from fixture_checkpoints import ENCODERS, ENTITY_LABELS, LABELS, make_checkpoint
from fixture_tokenizers import make_tokenizer
from labelstream_export.export import export
from labelstream_export.tasks import (
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TEXT_GENERATION,
    TOKEN_CLASSIFICATION,
    Task,
)

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PARITY = REPOSITORY / "operators" / "src" / "test" / "resources" / "parity"


@dataclass(frozen=True)
class Case:
    """One run of the pipeline over all inputs of a list.

    Attributes:
        name: unique within its fixture.
        inputs: a list of ``texts.json`` or ``inputs.json``.
        parameters: given to the pipeline; for sequence classification beside ``top_k=None,
            truncation=True``, for text generation beside ``do_sample=False``.
    """

    name: str
    inputs: str = "texts"
    parameters: dict[str, Any] = field(default_factory=dict)


DEFAULT = Case("default")
PAIRS = Case("pairs", inputs="pairs")
# Without the blank ones, of which a tokenizer without special tokens makes nothing.
TEXTS_OF_WORDS = Case("default", inputs="texts_of_words")
FUNCTIONS = tuple(
    Case(name, parameters={"function_to_apply": name}) for name in ("softmax", "sigmoid", "none")
)


STRATEGIES = ("none", "simple", "first", "max", "average")


def _entity_case(name: str, inputs: str, **parameters: Any) -> Case:
    return Case(name, inputs, parameters)


ENTITY_CASES = (
    _entity_case("none_all", "few_entities", aggregation_strategy="none", ignore_labels=[]),
    _entity_case("simple_all", "few_entities", aggregation_strategy="simple", ignore_labels=[]),
    _entity_case(
        "none_without_begin",
        "few_entities",
        aggregation_strategy="none",
        ignore_labels=["O", "B-PER", "MISC"],
    ),
    _entity_case(
        "first_without_person", "few_entities", aggregation_strategy="first", ignore_labels=["PER"]
    ),
    _entity_case("stride_0", "long_entities", aggregation_strategy="simple", stride=0),
    _entity_case("stride_8", "long_entities", aggregation_strategy="simple", stride=8),
    _entity_case("stride_16_first", "long_entities", aggregation_strategy="first", stride=16),
    _entity_case("stride_30_max", "long_entities", aggregation_strategy="max", stride=30),
    _entity_case("stride_8_average", "long_entities", aggregation_strategy="average", stride=8),
)


def _strategies(architecture: str) -> list[Case]:
    """All texts for a tokenizer that marks pieces inside words and one that does not."""
    texts = "entities" if architecture in ("bert", "xlm-roberta") else "some_entities"
    return [_entity_case(name, texts, aggregation_strategy=name) for name in STRATEGIES]


def _question_case(name: str, **parameters: Any) -> Case:
    return Case(name, "questions", parameters)


QUESTION_CASES = (
    _question_case("default"),
    _question_case("top_3", top_k=3),
    _question_case("tokens", top_k=3, align_to_words=False),
    _question_case("impossible", top_k=3, handle_impossible_answer=True),
    _question_case("short", top_k=3, max_answer_len=2),
    _question_case("long_answers", top_k=1, max_answer_len=60),
    _question_case("chunks", top_k=3, max_seq_len=40, doc_stride=8),
    _question_case(
        "chunks_tokens",
        top_k=3,
        max_seq_len=32,
        doc_stride=0,
        align_to_words=False,
        handle_impossible_answer=True,
    ),
)


@dataclass(frozen=True)
class Fixture:
    """A checkpoint with random weights, and what is run on it."""

    name: str
    architecture: str
    cases: tuple[Case, ...]
    labels: tuple[str, ...] = LABELS
    problem_type: str | None = None
    seed: int = 1
    task: Task = SEQUENCE_CLASSIFICATION
    precision: str = "fp32"
    padding: str | None = None


# One architecture for each kind of decoder, and two whose settings of it differ.
DECODED = ("bert", "roberta", "xlm-roberta", "deberta-v2", "llama")
FIRST_FOUR = ("bert", "distilbert", "roberta", "electra")
# Seeds whose greedy texts vary, and do not end by themselves within 100 tokens.
GENERATOR_SEEDS = {"gpt2": 3, "gpt_neo": 1, "opt": 4, "llama": 4, "qwen2": 4}
# Decoders with a head for classes, each with other ways of masks, positions and padding.
CLASSIFYING_DECODERS = ("gpt2", "llama", "qwen3", "gemma3_text")
FIXTURES = (
    Fixture("bert-sequence_classification", "bert", (DEFAULT, PAIRS, *FUNCTIONS)),
    Fixture("distilbert-sequence_classification", "distilbert", (DEFAULT, PAIRS)),
    Fixture("roberta-sequence_classification", "roberta", (DEFAULT, PAIRS)),
    Fixture("electra-sequence_classification", "electra", (DEFAULT, PAIRS)),
    Fixture(
        "distilbert-sequence_classification-multi_label",
        "distilbert",
        (DEFAULT,),
        labels=("toxic", "spam", "urgent", "praise"),
        problem_type="multi_label_classification",
        seed=2,
    ),
    Fixture(
        "distilbert-sequence_classification-regression",
        "distilbert",
        (DEFAULT,),
        labels=("stars",),
        problem_type="regression",
        seed=3,
    ),
    *(
        Fixture(f"{architecture}-sequence_classification", architecture, (DEFAULT, PAIRS))
        for architecture in ENCODERS
        if architecture not in FIRST_FOUR
    ),
    *(
        Fixture(f"{architecture}-sequence_classification", architecture, (TEXTS_OF_WORDS,))
        for architecture in CLASSIFYING_DECODERS
    ),
    *(
        Fixture(
            f"{architecture}-token_classification",
            architecture,
            (*_strategies(architecture), *ENTITY_CASES),
            labels=ENTITY_LABELS,
            task=TOKEN_CLASSIFICATION,
        )
        for architecture in ENCODERS
    ),
    *(
        Fixture(
            f"{architecture}-question_answering",
            architecture,
            QUESTION_CASES,
            task=QUESTION_ANSWERING,
        )
        for architecture in ENCODERS
    ),
    # Its tokenizer pads on the left: the context stands before the question.
    Fixture(
        "llama-question_answering", "llama", QUESTION_CASES, task=QUESTION_ANSWERING, padding="left"
    ),
    *(
        Fixture(
            f"{architecture}-text_generation", architecture, (), seed=seed, task=TEXT_GENERATION
        )
        for architecture, seed in GENERATOR_SEEDS.items()
    ),
    *(
        Fixture(
            f"distilbert-token_classification-{precision}",
            "distilbert",
            (),
            labels=ENTITY_LABELS,
            task=TOKEN_CLASSIFICATION,
            precision=precision,
        )
        for precision in ("bf16", "int8")
    ),
    *(
        Fixture(
            f"gpt2-text_generation-{precision}",
            "gpt2",
            (),
            seed=GENERATOR_SEEDS["gpt2"],
            task=TEXT_GENERATION,
            precision=precision,
        )
        for precision in ("bf16", "int8")
    ),
)


def make_fixture(fixture: Fixture, folder: Path) -> None:
    """Writes the model folder ``NAME``, and ``NAME.expected.json`` for fp32, into ``folder``."""
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch) / fixture.name
        encodes = fixture.task in (SEQUENCE_CLASSIFICATION, QUESTION_ANSWERING)
        if encodes and fixture.architecture in CLASSIFYING_DECODERS:
            sweep.make(fixture.architecture, fixture.task, checkpoint, sweep.SMALLER)
        else:
            make_checkpoint(
                fixture.architecture,
                checkpoint,
                fixture.labels,
                fixture.problem_type,
                fixture.seed,
                fixture.task,
            )
        if fixture.padding:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                checkpoint, padding_side=fixture.padding
            )
            tokenizer.save_pretrained(checkpoint)
        export(
            checkpoint=str(checkpoint),
            task=fixture.task,
            output=folder / fixture.name,
            precision=fixture.precision,
            explanations=False,
            force=True,
        )
        if fixture.precision != "fp32":
            return
        pipeline = transformers.pipeline(fixture.task.alias, model=str(checkpoint), device=-1)
    generates = fixture.task is TEXT_GENERATION
    expected = {
        "task": fixture.task.name,
        "transformers": transformers.__version__,
        "cases": [
            results(pipeline, case)
            for case in (generation_cases(pipeline) if generates else fixture.cases)
        ],
    }
    written_long = fixture.task is SEQUENCE_CLASSIFICATION and fixture.architecture in ENCODERS
    write = _write if written_long else _write_lines
    write(expected, folder / f"{fixture.name}.expected.json")


def results(pipeline: transformers.Pipeline, case: Case) -> dict[str, Any]:
    run = _run if pipeline.task == SEQUENCE_CLASSIFICATION.alias else fixture_results.run
    given = {**inputs(), **other_inputs()}[case.inputs]
    result = {"name": case.name, "inputs": case.inputs, "parameters": case.parameters}
    columns = fixture_results.columns(pipeline.task, case.parameters)
    if columns:
        result["columns"] = columns
    result["results"] = [run(pipeline, entry, case.parameters) for entry in given]
    return result


def generation_cases(pipeline: transformers.Pipeline) -> list[Case]:
    """Cases whose tokens and texts to avoid, or to stop at, are those of the greedy text of the
    first prompt, or of the second."""
    prompts = other_inputs()["prompts"]
    first, second = (
        fixture_results.run(pipeline, prompt, {"max_new_tokens": 60})["tokens"]
        for prompt in prompts[:2]
    )
    words = [pipeline.tokenizer.decode(first[at : at + 2]) for at in (11, 25)]
    eos, other = first[14], second[9]
    beams = {"max_new_tokens": 24, "num_beams": 3}
    ends = {**beams, "eos_token_id": [eos, other, first[4]]}
    cases = {
        "greedy": {"max_new_tokens": 100},
        "repetition_penalty": {"max_new_tokens": 40, "repetition_penalty": 1.3},
        "no_repeat_ngram_size": {"max_new_tokens": 40, "no_repeat_ngram_size": 2},
        "bad_words_ids": {"max_new_tokens": 40, "bad_words_ids": [[first[0]], first[5:7]]},
        "eos": {"max_new_tokens": 40, "eos_token_id": eos},
        "eos_several": {"max_new_tokens": 40, "eos_token_id": [eos, other]},
        "min_new_tokens": {
            "max_new_tokens": 40,
            "min_new_tokens": 25,
            "eos_token_id": [eos, other],
        },
        "stop_strings": {"max_new_tokens": 40, "stop_strings": [word for word in words if word]},
        "all": {
            "max_new_tokens": 40,
            "min_new_tokens": 12,
            "eos_token_id": [eos, other],
            "repetition_penalty": 1.1,
            "no_repeat_ngram_size": 3,
            "bad_words_ids": [[first[2]]],
        },
        "beams": beams,
        "beams_eos": ends,
        "beams_short": {**ends, "length_penalty": -1.0},
        "beams_long": {**ends, "length_penalty": 2.0},
        "beams_early": {**ends, "early_stopping": True},
        "beams_never": {**ends, "length_penalty": 2.0, "early_stopping": "never"},
        "beams_processed": {**ends, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
    }
    return [Case(name, "prompts", parameters) for name, parameters in cases.items()]


def inputs() -> dict[str, list[dict[str, str]]]:
    """The content of ``texts.json``: lists of texts and pairs, in the order of the results."""
    texts = [{"name": name, "text": text} for name, text in fixture_texts.TEXTS.items()]
    return {
        "texts": texts,
        "texts_of_words": [text for text in texts if text["text"].strip()],
        "pairs": [
            {"name": name, "text": first, "text_pair": second}
            for name, (first, second) in fixture_texts.PAIRS.items()
        ],
    }


def other_inputs() -> dict[str, list[dict[str, str]]]:
    """The content of ``inputs.json``, in the order of the results."""
    texts = {
        "entities": fixture_texts.ENTITY_TEXTS,
        "some_entities": dict(list(fixture_texts.ENTITY_TEXTS.items())[::4]),
        "few_entities": fixture_texts.ENTITIES,
        "long_entities": fixture_texts.LONG_ENTITIES,
        "prompts": fixture_texts.PROMPTS,
    }
    return {
        "questions": [
            {"name": name, "question": question, "context": context}
            for name, (question, context) in fixture_texts.QUESTIONS.items()
        ],
        **{
            kind: [{"name": name, "text": text} for name, text in named.items()]
            for kind, named in texts.items()
        },
    }


def _run(
    pipeline: transformers.Pipeline, given: dict[str, str], parameters: dict[str, Any]
) -> dict[str, Any]:
    """The pipeline's answer to one text: all scores, how many tokens the model saw, and whether
    that was less than the whole text."""
    texts = {
        key: fixture_texts.readable(given[key]) for key in ("text", "text_pair") if key in given
    }
    pair = "text_pair" in texts
    scores = pipeline(texts if pair else texts["text"], top_k=None, truncation=True, **parameters)
    whole = len(pipeline.tokenizer(**texts)["input_ids"])
    seen = len(pipeline.tokenizer(**texts, truncation=True)["input_ids"])
    return {"scores": scores, "tokens": seen, "truncated": seen < whole}


def _write(content: dict[str, Any], file: Path) -> None:
    """Writes JSON in UTF-8; a lone surrogate, which UTF-8 cannot hold, becomes its escape."""
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    file.write_bytes(text.encode("utf-8", errors="backslashreplace"))


def _write_dense(content: dict[str, Any], file: Path) -> None:
    """As ``_write``, on one line without blanks."""
    file.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")


def _write_lines(content: dict[str, Any], file: Path) -> None:
    """As ``_write``, with one line for each result and no blanks."""
    marked = {**content, "cases": [{**case, "results": []} for case in content["cases"]]}
    text = json.dumps(marked, ensure_ascii=False)
    for case in content["cases"]:
        lines = [
            json.dumps(result, ensure_ascii=False, separators=(",", ":"))
            for result in case["results"]
        ]
        text = text.replace('"results": []', '"results":[\n' + ",\n".join(lines) + "]", 1)
    file.write_bytes((text + "\n").encode("utf-8", errors="backslashreplace"))


def main() -> None:
    """Makes all fixtures, or those that are asked for."""
    parser = argparse.ArgumentParser(description="Makes the parity fixtures.")
    parser.add_argument("--output", type=Path, default=PARITY, metavar="FOLDER")
    names = [fixture.name for fixture in FIXTURES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME")
    options = parser.parse_args()
    folder = options.output
    logging.set_verbosity_error()
    torch.set_num_threads(1)  # models this small only wait for each other
    folder.mkdir(parents=True, exist_ok=True)
    _write(inputs(), folder / "texts.json")
    _write(other_inputs(), folder / "inputs.json")
    _write_dense(fixture_processors.results(), folder / "processors.expected.json")
    with tempfile.TemporaryDirectory() as scratch:
        kinds = {name: make_tokenizer(name, Path(scratch)) for name in DECODED}
        _write_dense(fixture_decoders.results(kinds), folder / "decoders.expected.json")
    for fixture in FIXTURES:
        if options.only is None or fixture.name in options.only:
            make_fixture(fixture, folder)


if __name__ == "__main__":
    main()

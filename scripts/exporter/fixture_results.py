"""What the reference gives: transformers' own pipelines and ``generate()`` on a checkpoint.

Every run is made twice, the second time with logits that are off by about 1e-5. Where that changes
more than scores, the result is marked as a tie: another implementation, as right as the reference,
may decide otherwise there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import transformers

import fixture_texts
from labelstream_export.tasks import QUESTION_ANSWERING, TEXT_GENERATION, TOKEN_CLASSIFICATION

NOISE = 1e-5
LOGITS = ("logits", "start_logits", "end_logits")
COLUMNS = {
    "none": ("entity", "score", "index", "word", "start", "end"),
    "entities": ("entity_group", "score", "word", "start", "end"),
    "answers": ("answer", "score", "start", "end"),
}


def run(pipeline: transformers.Pipeline, given: dict[str, str], parameters: dict[str, Any]) -> Any:
    """The result of one input.

    Args:
        pipeline: of the checkpoint.
        given: an entry of ``inputs.json``.
        parameters: the case's.

    Returns:
        ``{"rows": [...]}``, of entities or answers, each a list of the values of ``COLUMNS``;
        ``{"tokens": [...], "text": ..., "margin": ...}`` of a generator; or ``{"raises": ...}``, a
        word of the reference's error. ``"tie": true`` is added as told above.
    """
    kind = RUNNERS[pipeline.task]
    try:
        result = kind(pipeline, given, parameters)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of the tokenizer library is no Exception
        return {"raises": type(error).__name__}
    with _noise(pipeline.model):
        other = kind(pipeline, given, parameters)
    if _decided(result) != _decided(other):
        result["tie"] = True
    return result


def columns(task_alias: str, parameters: dict[str, Any]) -> list[str] | None:
    """The names of the values of each row, or None where the results have none."""
    if task_alias == QUESTION_ANSWERING.alias:
        return list(COLUMNS["answers"])
    if task_alias == TOKEN_CLASSIFICATION.alias:
        strategy = parameters.get("aggregation_strategy", "none")
        return list(COLUMNS["none" if strategy == "none" else "entities"])
    return None


def _entities(
    pipeline: transformers.Pipeline, given: dict[str, str], parameters: dict[str, Any]
) -> dict[str, Any]:
    entities = pipeline(fixture_texts.readable(given["text"]), **parameters)
    names = columns(pipeline.task, parameters)
    return {"rows": [[_plain(entity[name]) for name in names] for entity in entities]}


def _answers(
    pipeline: transformers.Pipeline, given: dict[str, str], parameters: dict[str, Any]
) -> dict[str, Any]:
    texts = {key: fixture_texts.readable(given[key]) for key in ("question", "context")}
    answers = pipeline(**texts, **parameters)
    answers = [answers] if isinstance(answers, dict) else answers
    return {"rows": [[_plain(answer[name]) for name in COLUMNS["answers"]] for answer in answers]}


def _generated(
    pipeline: transformers.Pipeline, given: dict[str, str], parameters: dict[str, Any]
) -> dict[str, Any]:
    """As the pipeline does it, in its own two steps, so that the tokens are seen too."""
    prompt = fixture_texts.readable(given["text"])
    encoded = pipeline.tokenizer(prompt, return_tensors="pt")
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    if not ids.shape[1]:
        # Left to itself, generate() takes this token for padding where its id is the same.
        ids = torch.tensor([[pipeline.model.generation_config.bos_token_id]])
        mask = torch.ones_like(ids)
    output = pipeline.model.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=transformers.GenerationConfig.from_model_config(pipeline.model.config),
        tokenizer=pipeline.tokenizer,
        pad_token_id=pipeline.tokenizer.pad_token_id or 0,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
        **parameters,
    )
    (record,) = pipeline.postprocess(
        {
            "generated_sequence": output.sequences.unsqueeze(0),
            "input_ids": ids,
            "prompt_text": prompt,
        },
        return_type=transformers.pipelines.text_generation.ReturnType.NEW_TEXT,
    )
    result = {
        "tokens": output.sequences[0, ids.shape[1] :].tolist(),
        "text": record["generated_text"],
    }
    if parameters.get("num_beams", 1) == 1:
        best = torch.cat(output.scores).topk(2).values
        result["margin"] = _plain((best[:, 0] - best[:, 1]).min())
    else:
        result["score"] = _plain(output.sequences_scores[0])
    return result


RUNNERS = {
    TOKEN_CLASSIFICATION.alias: _entities,
    QUESTION_ANSWERING.alias: _answers,
    TEXT_GENERATION.alias: _generated,
}


@contextlib.contextmanager
def _noise(model: transformers.PreTrainedModel) -> Iterator[None]:
    generator = torch.Generator().manual_seed(1)

    def add(module: Any, arguments: Any, outputs: Any) -> Any:
        for name in LOGITS:
            if name in outputs:
                drawn = torch.randn(outputs[name].shape, generator=generator)
                outputs[name] = outputs[name] + NOISE * drawn
        return outputs

    handle = model.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def _decided(result: dict[str, Any]) -> Any:
    """The result without its scores."""
    if "tokens" in result:
        return result["tokens"], result["text"]
    return [[value for value in row if not isinstance(value, float)] for row in result["rows"]]


def _plain(value: Any) -> Any:
    """A value as JSON has it, a score to seven digits."""
    value = value.item() if hasattr(value, "item") else value
    return float(f"{value:.7g}") if isinstance(value, float) else value

"""Tiny checkpoints with random weights, made from seeds.

The parity fixtures and the exporter's tests are made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import transformers
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import fixture_texts
from fixture_tokenizers import MAX_LENGTH, POSITIONS, VOCABULARY, make_tokenizer
from labelstream_export.tasks import (
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TEXT_GENERATION,
    TOKEN_CLASSIFICATION,
    Task,
)

LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")
ENTITY_LABELS = ("O", "I-PER", "B-PER", "I-LOC", "B-LOC", "MISC")
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
# Positions start behind the padding id: two more for as many tokens.
ROBERTA_SHAPE = {**SHAPE, "max_position_embeddings": MAX_LENGTH + 2, "pad_token_id": 1}
ENCODERS = {
    "bert": ("Bert", SHAPE),
    "distilbert": ("DistilBert", DISTILBERT_SHAPE),
    "roberta": ("Roberta", ROBERTA_SHAPE),
    # Embeddings of another width than the layers, which ELECTRA and ALBERT project.
    "electra": ("Electra", {**SHAPE, "embedding_size": 12}),
    "albert": ("Albert", {**SHAPE, "embedding_size": 12}),
    # As version 3 has it: relative positions in buckets, and no others.
    "deberta-v2": (
        "DebertaV2",
        {
            **SHAPE,
            "hidden_size": 12,
            "intermediate_size": 24,
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_buckets": 8,
            "max_relative_positions": -1,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": "p2c|c2p",
            "position_biased_input": False,
        },
    ),
    "xlm-roberta": ("XLMRoberta", ROBERTA_SHAPE),
    "mpnet": ("MPNet", ROBERTA_SHAPE),
    # One layer of each kind, and a window that texts are longer than.
    "modernbert": (
        "ModernBert",
        {
            **SHAPE,
            "global_attn_every_n_layers": 2,
            "local_attention": 16,
            "pad_token_id": 0,
            "cls_token_id": 2,
            "bos_token_id": 2,
            "sep_token_id": 3,
            "eos_token_id": 3,
        },
    ),
}
GPT_SHAPE = {"bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.8}
# Half as many heads for keys and values as for queries.
GROUPED_SHAPE = {
    **SHAPE,
    "initializer_range": 0.8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": POSITIONS,
}
GENERATORS = {
    "gpt2": (
        "GPT2LMHeadModel",
        {**GPT_SHAPE, "n_positions": POSITIONS, "n_embd": 16, "n_layer": 2, "n_head": 2},
    ),
    "gpt_neo": (
        "GPTNeoForCausalLM",
        {
            **GPT_SHAPE,
            "max_position_embeddings": POSITIONS,
            "hidden_size": 12,
            "num_layers": 2,
            "num_heads": 2,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 24,
        },
    ),
    "opt": (
        "OPTForCausalLM",
        {
            "max_position_embeddings": POSITIONS,
            "hidden_size": 16,
            "word_embed_proj_dim": 12,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 32,
            "init_std": 0.4,
            "pad_token_id": 1,
            "bos_token_id": 2,
            "eos_token_id": 2,
        },
    ),
    "llama": ("LlamaForCausalLM", {**GROUPED_SHAPE, "bos_token_id": 1, "eos_token_id": 2}),
    "qwen2": ("Qwen2ForCausalLM", {**GROUPED_SHAPE, "bos_token_id": 0, "eos_token_id": 0}),
}
ARCHITECTURES = {**ENCODERS, **GENERATORS}
HEADS = {
    SEQUENCE_CLASSIFICATION: "ForSequenceClassification",
    TOKEN_CLASSIFICATION: "ForTokenClassification",
    QUESTION_ANSWERING: "ForQuestionAnswering",
}
# Deviation of the logits over the fixture texts.
LOGITS_SPREAD = 3.0
SPREADS = {SEQUENCE_CLASSIFICATION: 1.0, TOKEN_CLASSIFICATION: 2.0, QUESTION_ANSWERING: 3.0}


def make_checkpoint(
    architecture: str,
    folder: Path,
    labels: Sequence[str] = LABELS,
    problem_type: str | None = None,
    seed: int = 1,
    task: Task = SEQUENCE_CLASSIFICATION,
    vocabulary: int = VOCABULARY,
    layers: int | None = None,
) -> None:
    """Writes a checkpoint with random weights and a trained tokenizer.

    Args:
        architecture: one of ``ENCODERS``, or of ``GENERATORS`` for text generation.
        folder: is made if need be.
        labels: the names of the classes, where the task has any.
        problem_type: as in ``config.json``.
        seed: of the weights.
        task: whose head it has.
        vocabulary: as ``make_tokenizer``'s.
        layers: how many, where not as many as the architecture's shape tells.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(architecture, folder, vocabulary)
    named = {"id2label": dict(enumerate(labels)), "problem_type": problem_type}
    named["label2id"] = {label: index for index, label in enumerate(labels)}
    prefix, shape = ARCHITECTURES[architecture]
    if layers is not None:
        shape = {**shape, "num_hidden_layers": layers}
    if task is TEXT_GENERATION:
        kind = getattr(transformers, prefix)
    else:
        kind = getattr(transformers, prefix + HEADS[task])
    config = kind.config_class(
        vocab_size=len(tokenizer), **(named if task.labelled else {}), **shape
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(config).eval()
        _randomise(model)
    if task is TEXT_GENERATION:
        _sharpen(model, tokenizer)
    else:
        _spread(model, tokenizer, task)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _randomise(model: PreTrainedModel) -> None:
    """Gives biases and norms values of their own: fresh ones, 0 and 1, hide mistakes."""
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, mean=1.0 if _is_scale(name) else 0.0, std=0.1)


def _is_scale(name: str) -> bool:
    if name.startswith("distilbert"):
        # The norms in its layers, named otherwise, have scales around 0: its first fixtures were
        # made so, and stay as they are.
        return "Norm.weight" in name
    return name.lower().endswith("norm.weight") or (".ln_" in name and name.endswith(".weight"))


def _sharpen(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Scales the last norm, so that the logits over the fixture texts have one deviation."""
    decoder = getattr(model.base_model, "decoder", model.base_model)
    names = ("ln_f", "final_layer_norm", "norm")
    norm = next(getattr(decoder, name) for name in names if hasattr(decoder, name))
    with torch.no_grad():
        logits = [
            model(**tokenizer(text, return_tensors="pt")).logits[0]
            for text in fixture_texts.ORDINARY.values()
        ]
        scale = LOGITS_SPREAD / torch.cat(logits).std()
        for parameter in norm.parameters():
            parameter.mul_(scale)


def _spread(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, task: Task) -> None:
    """Scales the head, so that the logits over the fixture texts have mean 0 and one deviation."""
    texts = [fixture_texts.readable(text) for text in fixture_texts.TEXTS.values()]
    logits = []
    with torch.no_grad():
        for text in texts:
            encoded = tokenizer(text, truncation=True, return_tensors="pt")
            outputs = model(**encoded, return_dict=False)
            if task is QUESTION_ANSWERING:
                logits.extend(torch.stack(outputs[:2], dim=-1)[0])
            elif task is TOKEN_CLASSIFICATION:
                logits.extend(outputs[0][0])
            else:
                logits.append(outputs[0][0])
        logits = torch.stack(logits)
        head = getattr(model, "qa_outputs", None) or model.classifier
        head = getattr(head, "out_proj", head)
        scale = SPREADS[task] / logits.std(dim=0)
        head.weight.mul_(scale.unsqueeze(1))
        head.bias.copy_((head.bias - logits.mean(dim=0)) * scale)

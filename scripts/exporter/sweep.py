#!/usr/bin/env python3
"""Exports a tiny random checkpoint of every architecture that transformers has for the tasks, and
holds what comes out against transformers itself.

    scripts/parity.sh --sweep [--only NAME,...] [--task TASK] [--folders DIR]

Prints one line for each architecture and task: ``equal``, ``refused`` with the reason, or what went
wrong; ends with 1 where something did. Nothing is kept, but for the table and, with ``--folders``,
the model folders.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")

import torch  # noqa: E402
import transformers  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
from torch import Tensor  # noqa: E402
from transformers import CONFIG_MAPPING, PretrainedConfig, PreTrainedModel  # noqa: E402

import fixture_texts  # noqa: E402
from fixture_tokenizers import make_tokenizer  # noqa: E402
from labelstream_export.errors import ExportError, reason_of  # noqa: E402
from labelstream_export.export import export  # noqa: E402
from labelstream_export.survey import known_for  # noqa: E402
from labelstream_export.tasks import (  # noqa: E402
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TASKS,
    TEXT_GENERATION,
    Task,
)

LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")
TOLERANCE = 1e-4
POSITIONS = 96
NEW_TOKENS = 12
SEED = 7
MOST_PARAMETERS = 20_000_000
# By the names that configurations have for the same things.
SMALL = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("embedding_size", "emb_dim", "embed_dim", "rotary_emb_base_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_head", "n_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "multi_query_group_num"), 2),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner", "d_inner"), 64),
    **dict.fromkeys(("ffn_hidden_size", "hidden_dim", "feed_forward_size"), 64),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "dff", "shared_expert_dim"), 64),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32),
    **dict.fromkeys(("head_dim", "d_kv", "d_head", "kv_channels", "global_head_dim"), 8),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k"), 2),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), POSITIONS),
    **dict.fromkeys(("sliding_window", "attention_window", "local_attention", "window_size"), 16),
}
FAMILIES = {
    "albert": {"embedding_size": 16},
    "big_bird": {"attention_type": "original_full"},
    "bigbird_pegasus": {"attention_type": "original_full"},
    "canine": {"max_position_embeddings": 512},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 0},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "pos_att_type": ["c2p", "p2c"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "deepseek_v2": {
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "num_key_value_heads": 4,
    },
    "falcon": {"num_kv_heads": 4, "new_decoder_architecture": False, "multi_query": False},
    "funnel": {"block_sizes": [1, 1], "num_decoder_layers": 1, "d_head": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 16},
    "gptj": {"rotary_dim": 4},
    "codegen": {"rotary_dim": 4},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "use_mamba_kernels": False,
    },
    "led": {"max_encoder_position_embeddings": POSITIONS, "max_decoder_position_embeddings": 96},
    "longformer": {"attention_window": 16},
    "luke": {"entity_vocab_size": 100, "entity_emb_size": 16},
    "mobilebert": {"embedding_size": 16, "intra_bottleneck_size": 32, "true_hidden_size": 32},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 16},
    "modernbert-decoder": {"global_attn_every_n_layers": 2, "local_attention": 16},
    "nystromformer": {"segment_means_seq_len": 64, "num_landmarks": 64},
    "openai-gpt": {"afn": "gelu"},
    "opt": {"word_embed_proj_dim": 16},
    "persimmon": {"qk_layernorm": True},
    "reformer": {
        "attn_layers": ["local", "local"],
        "axial_pos_shape": [8, 12],
        "axial_pos_embds_dim": [16, 16],
        "local_attn_chunk_length": 16,
        "is_decoder": False,
    },
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 32},
    "squeezebert": {"embedding_size": 32},
    "xmod": {"default_language": "en_XX", "languages": ["en_XX"]},
    "t5": {"decoder_start_token_id": 1},
    "mt5": {"decoder_start_token_id": 1},
    "umt5": {"decoder_start_token_id": 1},
    "yoso": {"use_expectation": True},
}
# For checkpoints that are kept.
SMALLER = {name: size // 2 if size in (32, 64) else size for name, size in SMALL.items()}
# Sizes that follow from others.
HIDES = {"num_hidden_layers": ("block_sizes", "attn_layers")}
FAMILIES["deepseek_v3"] = {**FAMILIES["deepseek_v2"], "n_group": 2, "topk_group": 1}


@dataclass(frozen=True)
class Outcome:
    """What became of an architecture for a task.

    Attributes:
        kind: ``equal``, ``refused``, ``wrong``, ``fails``, or ``not made`` where transformers
            itself cannot make or run a checkpoint of the configuration given here.
        why: in words, but for ``equal``.
    """

    architecture: str
    task: Task
    kind: str
    why: str = ""


def small_config(
    architecture: str, tokenizer: Any, task: Task, sizes: Mapping[str, int] = SMALL
) -> PretrainedConfig:
    """A configuration with tiny sizes."""
    settings: dict[str, Any] = {}
    if task.labelled:
        settings["id2label"] = dict(enumerate(LABELS))
        settings["label2id"] = {label: index for index, label in enumerate(LABELS)}
    if task is TEXT_GENERATION and hasattr(CONFIG_MAPPING[architecture](), "is_decoder"):
        settings["is_decoder"] = True
    return _small(CONFIG_MAPPING[architecture], architecture, tokenizer, settings, sizes)


def _small(
    kind: type[PretrainedConfig],
    architecture: str,
    tokenizer: Any,
    settings: dict[str, Any],
    wanted: Mapping[str, int],
) -> PretrainedConfig:
    known = kind()
    sizes = {name: size for name, size in wanted.items() if hasattr(known, name)}
    ids = {
        name: getattr(tokenizer, name)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id")
        if getattr(tokenizer, name) is not None
    }
    for name in list(sizes):
        if isinstance(getattr(type(known), name, None), property):
            del sizes[name]  # computed from others
    layers = getattr(known, "layer_types", None)
    if layers:
        sizes["layer_types"] = [layers[0], layers[-1]]
    family = FAMILIES.get(architecture, {})
    for name in ("num_hidden_layers", "num_layers", "num_attention_heads"):
        if any(hidden in family for hidden in HIDES.get(name, ())):
            sizes.pop(name, None)
    parts = {
        name: _small(part, architecture, tokenizer, {}, wanted).to_dict()
        for name, part in (known.sub_configs or {}).items()
        if isinstance(part, type) and issubclass(part, PretrainedConfig)
    }
    settings = {"vocab_size": len(tokenizer), **ids, **sizes, **family, **parts, **settings}
    return kind(**settings)


def tokenizer_kind(architecture: str, task: Task) -> str:
    """Which of the fixture tokenizers goes with the architecture."""
    known = CONFIG_MAPPING[architecture]()
    if getattr(known, "is_encoder_decoder", False):
        return "roberta"
    if architecture in ("xlnet", "t5", "mt5", "umt5"):
        return "xlm-roberta"
    if getattr(known, "pad_token_id", None) == 1 and architecture != "opt":
        return "roberta"
    decoders = known_for(TEXT_GENERATION)
    return "gpt2" if architecture in decoders and not hasattr(known, "type_vocab_size") else "bert"


def make(architecture: str, task: Task, folder: Path, sizes: Mapping[str, int] = SMALL) -> None:
    """Writes the checkpoint."""
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer(tokenizer_kind(architecture, task), folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.model_max_length = 64
    config = small_config(architecture, tokenizer, task, sizes)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        empty = None
        with contextlib.suppress(NotImplementedError), torch.device("meta"):
            empty = getattr(transformers, task.auto_class).from_config(config)
        if empty is not None and empty.num_parameters() > MOST_PARAMETERS:
            raise ValueError(f"{empty.num_parameters()} parameters: sizes have other names here")
        model = getattr(transformers, task.auto_class).from_config(config).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.dim() == 2 and parameter.is_floating_point():
                    head = any(part in name for part in ("classifier", "score", "qa_outputs"))
                    parameter.mul_(6.0 if head else 2.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def texts() -> list[str]:
    """Of different lengths, one beyond the longest that the models take."""
    made = [fixture_texts.readable(text) for text in list(fixture_texts.ORDINARY.values())[:5]]
    return [*made, " ".join(made * 4)]


def difference(checkpoint: Path, folder: Path, task: Task) -> float:
    """The largest difference between the module's logits for a padded batch of texts, made by the
    folder's files alone, and those of transformers for each text alone."""
    manifest = json.loads((folder / "labelstream.json").read_text("utf-8"))
    module = torch.jit.load(str(folder / "model.pt"))
    model = getattr(transformers, task.auto_class).from_pretrained(checkpoint).eval()
    original = transformers.AutoTokenizer.from_pretrained(checkpoint)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(manifest["max_length"])
    tokenizer.enable_padding(pad_id=manifest["pad_token_id"])
    given: Any = texts()
    if task is QUESTION_ANSWERING:
        given = [("Who was it?", text) for text in given]
    encodings = tokenizer.encode_batch(given)
    fields = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    with torch.inference_mode():
        logits = module(
            *[
                torch.tensor([getattr(encoding, fields[name]) for encoding in encodings])
                for name in manifest["inputs"]
            ]
        )
        largest = 0.0
        for text, row in zip(given, logits):
            parts = [text] if isinstance(text, str) else list(text)
            options = {"truncation": True, "max_length": manifest["max_length"]}
            alone = original(*parts, **options, return_tensors="pt")
            outputs = model(**{name: alone[name] for name in manifest["inputs"]}, return_dict=False)
            expected = torch.stack(outputs[:2], -1) if task is QUESTION_ANSWERING else outputs[0]
            expected = expected[0]
            kept = row if task is SEQUENCE_CLASSIFICATION else row[: len(expected)]
            scale = expected.abs().max().clamp(min=1)
            largest = max(largest, ((kept - expected).abs().max() / scale).item())
    return largest


def generated(checkpoint: Path, folder: Path) -> Iterator[tuple[list[int], list[int]]]:
    """The tokens that the module's steps give for each of a padded batch of prompts, and those of
    ``generate()`` for each alone."""
    manifest = json.loads((folder / "labelstream.json").read_text("utf-8"))
    module = torch.jit.load(str(folder / "model.pt"))
    model: PreTrainedModel = transformers.AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    prompts = [tokenizer(text)["input_ids"][:40] for text in texts()[:3]]
    width = max(map(len, prompts))
    pad = manifest["pad_token_id"]
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
    rows = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    mask, sizes = torch.tensor(rows), manifest["cache"]
    past = torch.zeros(sizes["layers"], 2, len(prompts), sizes["heads"], 0, sizes["head_dim"])
    new, made = ids, []
    with torch.inference_mode():
        for _ in range(NEW_TOKENS):
            places = (mask.cumsum(1) - 1).clamp(min=0)[:, -new.shape[1] :]
            logits, past = module(new, mask, places, past)
            new = logits.argmax(dim=1, keepdim=True)
            made.append(new)
            mask = torch.cat([mask, torch.ones_like(new)], dim=1)
        together = torch.cat(made, dim=1).tolist()
        for prompt, tokens in zip(prompts, together):
            whole: Tensor = model.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
            yield tokens, whole[0, len(prompt) :].tolist()


def sweep(architecture: str, task: Task, folder: Path) -> Outcome:
    """Makes, exports and compares.

    Args:
        folder: for the checkpoint and the model folder; need not exist.
    """
    checkpoint, model = folder / "checkpoint", folder / "model"
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            make(architecture, task, checkpoint)
        except Exception as error:  # transformers' own code, on a configuration of ours
            return Outcome(architecture, task, "not made", _named(error))
        try:
            export(checkpoint=str(checkpoint), task=task, output=model)
        except ExportError as error:
            return Outcome(architecture, task, "refused", str(error))
        except Exception as error:  # what this is to find
            return Outcome(architecture, task, "fails", _named(error))
        try:
            if task is TEXT_GENERATION:
                for index, (given, expected) in enumerate(generated(checkpoint, model)):
                    if given != expected:
                        why = f"prompt {index}: {given} where generate() gives {expected}"
                        return Outcome(architecture, task, "wrong", why)
            else:
                largest = difference(checkpoint, model, task)
                if not largest <= TOLERANCE:
                    why = f"the logits of texts differ by {largest:.1e}"
                    return Outcome(architecture, task, "wrong", why)
        except Exception as error:
            return Outcome(architecture, task, "fails", f"as a model folder: {_named(error)}")
    return Outcome(architecture, task, "equal")


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {reason_of(error, 120)}"


def table(outcomes: Sequence[Outcome]) -> str:
    """The text of docs/architectures.md."""
    lines = [f"| architecture | {' | '.join(task.name for task in TASKS)} |", "| --- " * 5 + "|"]
    cells = {(each.architecture, each.task): each for each in outcomes}
    notes: dict[str, int] = {}
    for architecture in sorted({each.architecture for each in outcomes}):
        row = []
        for task in TASKS:
            each = cells.get((architecture, task))
            if each is None:
                row.append("")
            elif each.kind == "equal":
                row.append("equal")
            else:
                note = notes.setdefault(_reason(each), len(notes) + 1)
                row.append(f"{each.kind} ({note})")
        lines.append(f"| {architecture} | {' | '.join(row)} |")
    counts = {kind: sum(each.kind == kind for each in outcomes) for kind in _kinds(outcomes)}
    counted = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    reasons = [f"{number}. {reason}" for reason, number in notes.items()]
    return "\n".join(
        [
            "# Architectures",
            "",
            f"Every architecture that transformers {transformers.__version__} has for a task, as a "
            "tiny checkpoint with random weights that `scripts/parity.sh --sweep` makes, exports "
            "and compares: a padded batch of texts by the model folder, each text alone by "
            f"transformers. Of {len(outcomes)} pairs: {counted}. An empty cell: transformers has "
            "no such class.",
            "",
            *lines,
            "",
            *reasons,
            "",
        ]
    )


def _kinds(outcomes: Sequence[Outcome]) -> list[str]:
    return sorted({each.kind for each in outcomes}, key=lambda kind: (kind != "equal", kind))


def _reason(outcome: Outcome) -> str:
    return outcome.why.replace("|", "\\|").replace("checkpoint could", "it could")


def _read(file: Path) -> dict[tuple[str, Task], Outcome]:
    """The outcomes of an earlier sweep, by architecture and task."""
    tasks = {task.name: task for task in TASKS}
    known = {}
    for line in file.read_text("utf-8").splitlines() if file.exists() else []:
        architecture, name, kind, why = json.loads(line)
        known[architecture, tasks[name]] = Outcome(architecture, tasks[name], kind, why)
    return known


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser(prog="sweep.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--table", type=Path, help="write the table to this file")
    parser.add_argument("--only", help="architectures, with commas between them")
    parser.add_argument("--task", help="one task alone")
    parser.add_argument(
        "--outcomes",
        type=Path,
        help="write each outcome to this file at once; those that are in it are not tried again",
    )
    parser.add_argument("--folders", type=Path, help="keep what is made in this folder")
    options = parser.parse_args(arguments)
    only = options.only.split(",") if options.only else None
    outcomes = []
    known = _read(options.outcomes) if options.outcomes else {}
    for task in TASKS:
        for architecture in known_for(task):
            if (only and architecture not in only) or options.task not in (None, task.name):
                continue
            outcome = known.get((architecture, task))
            if outcome is None:
                with tempfile.TemporaryDirectory(prefix="labelstream-sweep-") as scratch:
                    root = Path(options.folders or scratch) / f"{architecture}-{task.name}"
                    shutil.rmtree(root, ignore_errors=True)
                    outcome = sweep(architecture, task, root)
                if options.outcomes:
                    with options.outcomes.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([architecture, task.name, outcome.kind, outcome.why]))
                        file.write("\n")
            outcomes.append(outcome)
            print(task.name, architecture, outcome.kind, outcome.why, flush=True)
    if options.table:
        options.table.write_text(table(outcomes), "utf-8")
    for kind in _kinds(outcomes):
        print(f"{sum(each.kind == kind for each in outcomes)} {kind}")
    return 1 if any(each.kind in ("wrong", "fails") for each in outcomes) else 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    sys.exit(main(sys.argv[1:]))

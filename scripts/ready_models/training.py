"""What the training scripts of the ready models share: a reproducible set-up and the loop."""

from __future__ import annotations

import argparse
import copy
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent


def recipe(
    name: str,
    description: str | None,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    vocabulary: int,
) -> argparse.ArgumentParser:
    """The options that all training scripts have, with the defaults of one of them."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=HERE / "build" / name,
        help=f"folder of the checkpoint (default: build/{name} beside this script)",
    )
    parser.add_argument(
        "--evaluate-only", action="store_true", help="take the checkpoint as it is, do not train"
    )
    parser.add_argument(
        "--export", action="store_true", help=f"export the checkpoint to model-assets/{name}"
    )
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument(
        "--threads", type=int, default=1, help="part of the recipe: changes the last digits"
    )
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch-size", type=int, default=batch_size, help="in texts")
    parser.add_argument("--learning-rate", type=float, default=learning_rate)
    parser.add_argument("--vocabulary", type=int, default=vocabulary, help="size of the vocabulary")
    return parser


def tell_size(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, threads: int) -> None:
    """Prints what is about to be trained."""
    print(
        f"vocabulary {len(tokenizer)}, parameters {model.num_parameters():,}, threads {threads}",
        file=sys.stderr,
    )


def save(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path, started: float
) -> None:
    """Writes the checkpoint and prints how long it took since ``started`` (monotonic seconds)."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    print(
        f"trained in {time.monotonic() - started:.0f} s, "
        f"{time.process_time():.0f} s of them on the processor: {folder}"
    )


def export(name: str, checkpoint: Path, task: str) -> None:
    """Turns a checkpoint into the ready model, and exits with the exporter's status."""
    command = [sys.executable, str(REPOSITORY / "scripts" / "export_model.py")]
    command += [str(checkpoint), "--task", task]
    command += ["--output", str(REPOSITORY / "model-assets" / name), "--force"]
    sys.exit(subprocess.run(command, check=False).returncode)


def make_reproducible(seed: int, threads: int) -> None:
    """Fixes the seeds, the thread count (it decides the order of sums) and the algorithms."""
    random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def set_waves(positions: torch.nn.Parameter, deviation: float) -> None:
    """Fills position embeddings [positions, size] with waves in place of noise.

    Neighbours are then related from the start, which saves many steps. ``deviation`` is the
    standard deviation of the result, that of the word embeddings as a rule.
    """
    angles = torch.arange(positions.shape[0])[:, None] * torch.exp(
        torch.arange(0, positions.shape[1], 2) * (-math.log(1000.0) / positions.shape[1])
    )
    with torch.no_grad():
        positions.copy_(torch.cat([angles.sin(), angles.cos()], dim=1) * deviation * math.sqrt(2))


def train(
    model: torch.nn.Module,
    batches: Iterable[Mapping[str, torch.Tensor]],
    loss_of: Callable[[torch.nn.Module, Mapping[str, torch.Tensor]], torch.Tensor],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.01,
    average_decay: float = 0.998,
) -> torch.nn.Module:
    """Trains with AdamW, a short warm-up and a cosine decay, and returns the averaged weights.

    The moving average of the weights does better on texts unlike those of the training than the
    last weights do, and costs next to nothing.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    warm_up = max(1, steps // 20)

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    started, recent = time.monotonic(), 0.0
    model.train()
    for step, batch in enumerate(batches, start=1):
        loss = loss_of(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        # The average must forget the random start soon, hence the smaller decay at first.
        decay = min(average_decay, step / (step + 10))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters()):
                slow.lerp_(fast, 1 - decay)
        recent = loss.item() if step == 1 else 0.98 * recent + 0.02 * loss.item()
        if step % 200 == 0 or step == steps:
            took = time.monotonic() - started
            print(f"  step {step}/{steps}  loss {recent:.3f}  {took:.0f} s", file=sys.stderr)
        if step == steps:
            break
    return average

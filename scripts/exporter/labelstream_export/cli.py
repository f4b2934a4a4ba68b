"""The command line. Only the standard library is imported until an export begins, so that help and
wrong use are answered at once, and outside the virtual environment too."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from labelstream_export.errors import ExportError
from labelstream_export.tasks import TASKS, Task, find_task

PROGRAM = "export_model.py"
PRECISIONS = ("fp32", "bf16", "int8")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line; exits with 2 and a sentence when it is wrong, with 0 after --help.

    Returns:
        ``checkpoint`` (str or None), ``task`` (Task or None), ``output`` (Path or None), ``verify``
        (Path or None), ``tokenizer`` (str or None), ``precision`` (str),
        ``agreement`` (Path or None), ``min_agreement`` (float), ``max_length`` (int or None),
        ``explanations`` (bool), ``force`` (bool).
    """
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Turns a Hugging Face checkpoint into a model folder, and checks that the two "
        "give the same results. Code that lies in a checkpoint is never run, so that there is no "
        "--trust-remote-code.",
    )
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        nargs="?",
        help="a folder with configuration and weights, a hub id, or a TorchServe archive (.mar)",
    )
    names = ", ".join(f"{task.name} ({task.alias})" for task in TASKS)
    parser.add_argument(
        "--task", type=_task, help=f"what it is for: {names}; an archive tells it itself"
    )
    parser.add_argument(
        "--tokenizer",
        metavar="TOKENIZER",
        help="a folder or hub id with the tokenizer, where the checkpoint has none",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="to write to")
    parser.add_argument(
        "--verify",
        type=Path,
        metavar="FOLDER",
        help="check a model folder again, on this machine, and write nothing: that the job can "
        "read it, and that it gives what its checkpoint gave; with CHECKPOINT, all that is checked "
        "when it is exported",
    )
    parser.add_argument(
        "--precision",
        default="fp32",
        type=_precision,
        help=f"of the weights: {', '.join(PRECISIONS)} (default: fp32)",
    )
    parser.add_argument(
        "--agreement",
        type=Path,
        metavar="FILE",
        help="texts, one on a line (for question answering: question, tab, context), on which bf16 "
        "or int8 must decide as fp32 does (default: built-in ones, and nothing is refused)",
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="FILE",
        help="texts, one on a line as in --agreement's, by which int8 finds the ranges of "
        "activations: 100 of those that will come are enough (default: built-in ones)",
    )
    parser.add_argument(
        "--min-agreement",
        default=0.99,
        type=_share,
        metavar="SHARE",
        help="of equal decisions on FILE, below which the export is refused (default: 0.99)",
    )
    parser.add_argument(
        "--max-length",
        type=_tokens,
        metavar="N",
        help="tokens of a text that the model sees, special ones included "
        "(default: what the tokenizer and the model allow)",
    )
    parser.add_argument(
        "--no-explanations",
        action="store_false",
        dest="explanations",
        help="leave out what explanations need: less on disk, and no text of this model can be "
        "explained",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace FOLDER if it exists; its README.md is kept"
    )
    parser.add_argument(
        "--traced-minutes",
        default=30,
        type=_amount,
        metavar="N",
        help="how long the traced module of an archive may be run, in a process of its own: it is "
        "code (default: 30)",
    )
    parser.add_argument(
        "--traced-memory",
        default=16,
        type=_amount,
        metavar="GIB",
        help="how much memory it may take (default: 16)",
    )
    options = parser.parse_args(arguments)
    if options.verify is None and (options.checkpoint is None or options.output is None):
        parser.error("give CHECKPOINT and --output FOLDER, or --verify FOLDER")
    if options.verify is not None and options.output is not None:
        parser.error("--verify writes nothing: leave out --output")
    if options.calibrate and options.precision != "int8":
        parser.error("--calibrate is for activations in integers: give --precision int8 too")
    if options.agreement and options.precision == "fp32":
        parser.error("--agreement compares with fp32: give --precision bf16 or int8 too")
    return options


def main(arguments: Sequence[str]) -> int:
    """Runs one export and returns the exit status; every failure is one sentence."""
    options = parse(arguments)
    try:
        if options.verify is not None:
            from labelstream_export.again import verify_folder

            verify_folder(options.verify, options.checkpoint, options.tokenizer)
            return 0
        from labelstream_export.agreement import Yardstick
        from labelstream_export.export import export

        export(
            checkpoint=options.checkpoint,
            task=options.task,
            output=options.output,
            tokenizer=options.tokenizer,
            precision=options.precision,
            max_length=options.max_length,
            yardstick=Yardstick(options.agreement, options.min_agreement),
            calibration=options.calibrate,
            explanations=options.explanations,
            force=options.force,
            traced_minutes=options.traced_minutes,
            traced_memory=options.traced_memory,
        )
    except ExportError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted, nothing was written")
    except OSError as error:
        file = error.filename or options.output or options.verify
        return _fail(
            f"cannot read or write {file} ({error.strerror or error}): "
            "check the path, its permissions and the free space"
        )
    except Exception as error:
        if os.environ.get("LABELSTREAM_DEBUG"):
            raise
        from labelstream_export.errors import reason_of

        doing = "exported" if options.verify is None else "verified"
        return _fail(
            f"{options.checkpoint or options.verify} could not be {doing} ({type(error).__name__}: "
            f"{reason_of(error)}): set LABELSTREAM_DEBUG=1 to see where"
        )
    return 0


def _fail(sentence: str) -> int:
    print(f"{PROGRAM}: {sentence}", file=sys.stderr)
    return 1


def _task(name: str) -> Task:
    try:
        return find_task(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _precision(name: str) -> str:
    if name not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise argparse.ArgumentTypeError(f"precision '{name}' is not supported: use {known}")
    return name


def _tokens(number: str) -> int:
    if not number.isascii() or not number.isdigit() or int(number) < 3:
        raise argparse.ArgumentTypeError(f"'{number}' is not a number of tokens: give 3 or more")
    return int(number)


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0
    if not 0 < amount < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return amount


def _share(number: str) -> float:
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"'{number}' is not a share: give 0 to 1")
    return share

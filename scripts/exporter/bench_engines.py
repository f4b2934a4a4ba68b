"""What one would run in place of Labelstream, each in a process of its own, which takes texts and
gives the number of the label of each.

By hand means what an expert would write: the texts sorted by length, in batches of at most 512
padded tokens, on the fastest library for the processor. Each is measured with one stream that has
all cores, and with a stream on each core; the better counts.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.utils import logging

import bench_common
from bench_common import (
    HERE,
    Phase,
    Stopwatch,
    cores,
)
from bench_models import CALIBRATION_TEXTS, bench_model, made_once, make_texts
from labelstream_export.export import MODULE

BUDGET = 512  # padded tokens of a batch
AT_LEAST_SECONDS = 4.0  # of a measurement, which goes over the texts as often as it takes
WARM_UP_SECONDS = 4.0
TORCHSERVE_LENGTH, TORCHSERVE_BATCH = 150, 8

# Takes token ids and the mask, int64 [rows, tokens], and gives logits [rows, labels].
Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]
Label = Callable[[Sequence[Any]], list[Any]]


@dataclass(frozen=True)
class Layout:
    """How the cores are shared out: ``streams`` batches at once, each on ``threads`` cores."""

    streams: int
    threads: int

    def __str__(self) -> str:
        return f"{self.streams} x {self.threads} thread{'s' * (self.threads > 1)}"


def layouts() -> list[Layout]:
    """One stream with all cores, and a stream on each core."""
    return list(dict.fromkeys([Layout(1, cores()), Layout(cores(), 1)]))


def sorted_batches(lengths: Sequence[int], budget: int = BUDGET) -> list[list[int]]:
    """Places of the texts, longest first, in batches of at most ``budget`` padded tokens."""
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > budget:
            batches.append([])
        batches[-1].append(place)
    return batches


def by_hand(checkpoint: Path, forward: Forward, layout: Layout) -> Label:
    """Labels texts in sorted batches, of which each stream takes the next."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    pool = ThreadPoolExecutor(layout.streams, initializer=_one_stream, initargs=[layout.threads])

    def label(texts: Sequence[str]) -> list[int]:
        tokens = tokenizer(list(texts), truncation=True)["input_ids"]
        labels = [0] * len(tokens)

        def one(batch: list[int]) -> None:
            longest = len(tokens[batch[0]])
            ids = np.full((len(batch), longest), tokenizer.pad_token_id, np.int64)
            mask = np.zeros((len(batch), longest), np.int64)
            for row, place in enumerate(batch):
                ids[row, : len(tokens[place])] = tokens[place]
                mask[row, : len(tokens[place])] = 1
            for place, logits in zip(batch, forward(ids, mask)):
                labels[place] = int(logits.argmax())

        list(pool.map(one, sorted_batches([len(each) for each in tokens])))
        return labels

    return label


def _one_stream(threads: int) -> None:
    torch.set_num_threads(threads)  # of this thread


def pytorch(checkpoint: Path, _: str, layout: Layout) -> Label:
    """transformers' own model."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(ids), torch.from_numpy(mask)).logits.numpy()

    return by_hand(checkpoint, forward, layout)


def module(checkpoint: Path, precision: str, layout: Layout) -> Label:
    """The exported module, without Labelstream."""
    graph = torch.jit.load(str(bench_model("distilbert", precision) / MODULE))
    torch.jit.set_fusion_strategy([])  # as DJL runs it: nothing is compiled anew for each shape

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return graph(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()

    return by_hand(checkpoint, forward, layout)


def onnx_runtime(checkpoint: Path, precision: str, layout: Layout) -> Label:
    """ONNX Runtime, in int8 with its dynamic quantization."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = layout.threads, 1
    file = onnx_models(checkpoint) / f"{precision}.onnx"
    session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]

    return by_hand(checkpoint, forward, layout)


def openvino(checkpoint: Path, precision: str, layout: Layout) -> Label:
    """OpenVINO, in int8 as NNCF quantizes it with texts for the ranges of activations."""
    import openvino as ov

    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": layout.streams,
        "INFERENCE_NUM_THREADS": layout.streams * layout.threads,
    }
    file = openvino_models(checkpoint) / f"{precision}.xml"
    compiled = ov.Core().compile_model(str(file), "CPU", hints)
    requests = [compiled.create_infer_request() for _ in range(layout.streams)]

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        request = requests.pop()
        try:
            return request.infer({"input_ids": ids, "attention_mask": mask})[0].copy()
        finally:
            requests.append(request)

    return by_hand(checkpoint, forward, layout)


def ctranslate2(checkpoint: Path, precision: str, layout: Layout) -> Label:
    """CTranslate2, which has DistilBERT without its head: the labels are not the model's."""
    import ctranslate2

    encoder = ctranslate2.Encoder(
        str(ctranslate2_model(checkpoint)),
        compute_type={"fp32": "float32"}.get(precision, precision),
        inter_threads=layout.streams,
        intra_threads=layout.threads,
    )

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        rows = [row[:length].tolist() for row, length in zip(ids, mask.sum(axis=1))]
        return np.array(encoder.forward_batch(rows).last_hidden_state)[:, 0]

    return by_hand(checkpoint, forward, layout)


def pipeline(checkpoint: Path, batch: str, layout: Layout) -> Label:
    """The Hugging Face pipeline."""
    torch.set_num_threads(layout.threads)
    call = transformers.pipeline("text-classification", str(checkpoint), device="cpu")
    ids = call.model.config.label2id
    return lambda texts: [
        ids[each["label"]] for each in call(list(texts), batch_size=int(batch), truncation=True)
    ]


def handler(checkpoint: Path, _: str, layout: Layout) -> Label:
    """What TorchServe's generalized handler does with each batch, without its server."""
    torch.set_num_threads(layout.threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()

    def label(texts: Sequence[str]) -> list[int]:
        labels: list[int] = []
        for start in range(0, len(texts), TORCHSERVE_BATCH):
            encoded = tokenizer(
                list(texts[start : start + TORCHSERVE_BATCH]),
                max_length=TORCHSERVE_LENGTH,
                padding="max_length",
                truncation=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                logits = model(encoded["input_ids"], encoded["attention_mask"]).logits
            labels += logits.argmax(dim=1).tolist()
        return labels

    return label


@dataclass(frozen=True)
class Engine:
    """One side of the bench.

    Attributes:
        name: as the table has it.
        make: loads it; takes the checkpoint, ``setting`` and the layout.
        setting: its precision, or the size of its batches.
        layouts: the layouts that it is measured with.
        package: what has to be installed.
        labels: whether it gives the model's labels.
    """

    name: str
    make: Callable[[Path, str, Layout], Label]
    setting: str
    layouts: tuple[Layout, ...]
    package: str = "torch"
    labels: bool = True


def engines(precisions: Sequence[str]) -> list[Engine]:
    """All that Labelstream is measured against."""
    all_cores, one_each = layouts()[0], layouts()[-1]
    each = tuple(layouts())
    found = [
        Engine(f"Hugging Face pipeline, batch {size}", pipeline, size, (all_cores,))
        for size in ("1", "8", "32")
    ]
    name = f"handler padding to {TORCHSERVE_LENGTH} as TorchServe's, batch {TORCHSERVE_BATCH}"
    found.append(Engine(name, handler, "fp32", (all_cores,), labels=False))  # it cuts texts
    found.append(Engine("by hand, PyTorch fp32", pytorch, "fp32", each))
    for precision in precisions:
        found.append(Engine(f"the module alone, {precision}", module, precision, (one_each,)))
        if precision not in ("fp32", "int8"):
            continue
        found += [
            Engine(f"by hand, ONNX Runtime {precision}", onnx_runtime, precision, each, "onnx"),
            Engine(f"by hand, OpenVINO {precision}", openvino, precision, each, "nncf"),
            Engine(
                f"by hand, CTranslate2 {precision} (body only)",
                *(ctranslate2, precision, each, "ctranslate2", False),
            ),
        ]
    return found


def onnx_models(checkpoint: Path) -> Path:
    """The folder of ``fp32.onnx`` and ``int8.onnx``."""

    def make(folder: Path) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        folder.mkdir()
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            checkpoint, attn_implementation="eager"
        ).eval()
        example = torch.ones(2, 8, dtype=torch.int64)
        names = ["input_ids", "attention_mask"]
        torch.onnx.export(
            model,
            (example, example),
            str(folder / "fp32.onnx"),
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "rows", 1: "tokens"} for name in names},
            opset_version=17,
            dynamo=False,
        )
        quantize_dynamic(folder / "fp32.onnx", folder / "int8.onnx", weight_type=QuantType.QInt8)

    return made_once(bench_common.STATE / "onnx", _sources(checkpoint), make)


def openvino_models(checkpoint: Path) -> Path:
    """The folder of ``fp32.xml`` and ``int8.xml``."""

    def make(folder: Path) -> None:
        import nncf
        import openvino as ov

        folder.mkdir()
        model = ov.convert_model(str(onnx_models(checkpoint) / "fp32.onnx"))
        ov.save_model(model, str(folder / "fp32.xml"), compress_to_fp16=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
        rows = [
            dict(tokenizer(text, truncation=True, return_tensors="np"))
            for text in make_texts(CALIBRATION_TEXTS)
        ]
        quantized = nncf.quantize(
            model,
            nncf.Dataset(rows),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=CALIBRATION_TEXTS,
        )
        ov.save_model(quantized, str(folder / "int8.xml"), compress_to_fp16=False)

    return made_once(bench_common.STATE / "openvino", _sources(checkpoint), make)


def ctranslate2_model(checkpoint: Path) -> Path:
    """The folder of CTranslate2's model in fp32, which it quantizes when it loads."""

    def make(folder: Path) -> None:
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(str(checkpoint)).convert(str(folder))

    return made_once(bench_common.STATE / "ctranslate2", _sources(checkpoint), make)


def _sources(checkpoint: Path) -> list[Path]:
    return [Path(__file__), HERE / "requirements-bench.txt", checkpoint / "config.json"]


class Running:
    """An engine in a process of its own, to be used in a ``with``."""

    def __init__(
        self,
        engine: Engine,
        layout: Layout,
        checkpoint: Path,
        work: Sequence[Any],
        warm: Sequence[Any],
    ) -> None:
        """Starts it.

        Args:
            engine: which.
            layout: how it shares the cores out.
            checkpoint: the Hugging Face folder.
            work: the texts, or whatever else the engine takes.
            warm: some of them, for it to warm up with.
        """
        self.name = f"{engine.name}, {layout}"
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        arguments = (engine, layout, checkpoint, list(work), list(warm), theirs)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.pid = self.process.pid

    def __enter__(self) -> Running:
        self._receive()  # it is warm
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()

    def measure(self) -> Phase:
        """Does its work, as often as it takes; the results are what came of it and how often."""
        watch = Stopwatch([self.pid], cores())
        self.pipe.send("go")
        return watch.stop(self._receive())

    def _receive(self) -> Any:
        try:
            kind, content = self.pipe.recv()
        except EOFError:
            kind, content = "failed", "its process has ended"
        if kind == "failed":
            raise EngineError(f"{self.name} does not run: {content}")
        return content


class EngineError(Exception):
    """An engine cannot be measured; the message says why."""


def _serve(
    engine: Engine, layout: Layout, checkpoint: Path, work: list[Any], warm: list[Any], pipe: Any
) -> None:
    logging.set_verbosity_error()
    try:
        torch.set_num_threads(layout.threads)
        do = engine.make(checkpoint, engine.setting, layout)
        end = time.perf_counter() + WARM_UP_SECONDS
        while time.perf_counter() < end:
            do(warm)
        pipe.send(("warm", None))
        while pipe.recv() == "go":
            start = time.perf_counter()
            results, times = do(work), 1
            while time.perf_counter() - start < AT_LEAST_SECONDS:
                results, times = do(work), times + 1
            pipe.send(("done", (results, times)))
    except EOFError:  # nobody asks any more
        pass
    except Exception as failure:  # told in the table's place; another engine goes on
        with contextlib.suppress(OSError):
            pipe.send(("failed", f"{type(failure).__name__}: {failure}".splitlines()[0]))
    sys.exit(0)


def prepared(engine: Engine, checkpoint: Path) -> Iterator[str]:
    """Makes the models of an engine, and gives a sentence where that cannot be."""
    makers: dict[Any, Callable[[Path], Path]] = {
        onnx_runtime: onnx_models,
        openvino: openvino_models,
        ctranslate2: ctranslate2_model,
    }
    if engine.make not in makers:
        return
    try:
        makers[engine.make](checkpoint)
    except Exception as failure:
        yield f"{engine.name} is left out: {type(failure).__name__}: {failure}".splitlines()[0]

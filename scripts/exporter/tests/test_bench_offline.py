"""The bench of throughput: what is compared with what, and what ends it. No test looks at a clock,
and none needs a broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import bench_common as common
import bench_engines as peers
import bench_kafka as kafka
import bench_models as models
import bench_offline as bench


def test_texts_are_the_same_each_time_and_42_tokens_in_the_mean() -> None:
    texts = models.make_texts(bench.TEXTS)
    assert models.make_texts(bench.TEXTS) == texts
    assert sum(len(text.split()) + 2 for text in texts) / len(texts) == pytest.approx(42, abs=1)


def test_sorted_batches_hold_each_text_once_and_no_more_padded_tokens_than_allowed() -> None:
    lengths = [len(text.split()) + 2 for text in models.make_texts(300)]
    batches = peers.sorted_batches(lengths)
    assert sorted(place for batch in batches for place in batch) == list(range(300))
    assert max(len(batch) * max(lengths[place] for place in batch) for batch in batches) <= 512
    padded = sum(len(batch) * max(lengths[place] for place in batch) for batch in batches)
    assert padded < 1.1 * sum(lengths)


def test_a_text_longer_than_a_batch_goes_alone() -> None:
    assert peers.sorted_batches([3, 600, 3]) == [[1], [0, 2]]


def test_by_hand_labels_are_the_pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "STATE", tmp_path)
    checkpoint = models.bench_checkpoint("tiny")
    texts = models.make_texts(40)
    layout = peers.Layout(2, 1)
    expected = peers.pipeline(checkpoint, "8", layout)(texts)
    assert set(expected) == {0, 1}
    assert peers.pytorch(checkpoint, "fp32", layout)(texts) == expected
    short = [text for text in texts if len(text.split()) < 140]
    assert peers.handler(checkpoint, "fp32", layout)(short) == [
        label for text, label in zip(texts, expected) if text in short
    ]


def out(place: int, milliseconds: int, label: str = "LABEL_0") -> kafka.Out:
    return kafka.Out(place, milliseconds, {"label": label})


def test_the_clock_starts_at_the_last_record_of_the_warm_up() -> None:
    records = [out(0, 5000), out(3, 9000), out(1, 6000), out(2, 6000), out(4, 8000)]
    seconds, measured = kafka.after_warm_up(records, 2)
    assert seconds == 3.0
    assert [each.place for each in measured] == [4, 3]


def test_records_that_come_out_at_once_cannot_be_measured() -> None:
    with pytest.raises(SystemExit, match="give more with --records"):
        kafka.after_warm_up([out(0, 5), out(1, 5)], 1)


class Message:
    def __init__(self, value: dict[str, Any], headers: list[tuple[str, bytes]]) -> None:
        self._value, self._headers = json.dumps(value).encode(), headers

    def value(self) -> bytes:
        return self._value

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return 2, 1234


def test_a_labelled_record_tells_its_place_and_time() -> None:
    result = {"label": "LABEL_1", "score": 0.75}
    message = Message({"id": "17", "text": "a", "inference": {kafka.PIPELINE: result}}, [])
    assert kafka.read_out(message) == kafka.Out(17, 1234, result)


def test_a_dead_letter_ends_it_with_a_sentence() -> None:
    headers = [
        ("labelstream.error.code", b"not_text"),
        ("labelstream.error.message", b"the value is 1"),
    ]
    with pytest.raises(SystemExit, match=r"became a dead letter \(not_text: the value is 1\)"):
        kafka.tell_dead_letter(Message({}, headers))


def side(name: str, precision: str, speed: float, labels: str = "01", taken: float = 0) -> Any:
    group = bench.group_of(name.partition(", batch")[0])
    made = bench.Side(name, group, precision, labels=list(labels))
    made.add(common.Phase(2.0, None, 4.0, taken), 10, round(speed * 2))
    return made


def peers_of(fp32: float, int8: float) -> list[Any]:
    return [
        side("Hugging Face pipeline, batch 1", "1", 100),
        side("handler padding to 150", "fp32", 200),
        side("by hand, PyTorch fp32", "fp32", fp32 - 1),
        side("by hand, OpenVINO fp32", "fp32", fp32),
        side("by hand, OpenVINO int8", "int8", int8),
        side("the module alone, fp32", "fp32", 1000),
    ]


def test_ratios_are_to_the_best_of_the_same_precision() -> None:
    ours = [side("Labelstream fp32", "fp32", 950), side("Labelstream int8", "int8", 1500, "00")]
    entries = {each["name"]: each for each in bench.compare(ours, peers_of(1900, 1000))}
    assert entries["offline.fp32.to_best_by_hand"] == {
        "name": "offline.fp32.to_best_by_hand",
        "value": 0.5,
        "unit": "ratio",
        "bound": 1.0,
        "holds": False,
    }
    assert entries["offline.fp32.to_module"]["holds"] is True
    assert entries["offline.fp32.to_pipeline"]["value"] == 9.5
    assert entries["offline.fp32.to_torchserve_handler"]["value"] == 4.75
    assert entries["offline.int8.to_best_by_hand"]["value"] == 1.5
    assert entries["offline.int8.to_pipeline"]["holds"] is True
    assert entries["offline.int8.labels_of_fp32"]["value"] == 0.5
    assert entries["offline.int8.labels_of_fp32"]["holds"] is False
    assert "offline.int8.to_module" not in entries  # it was not measured
    assert entries["offline.fp32.tokens_per_second"]["bound"] is None


def test_the_table_is_in_the_order_of_speed(capsys: pytest.CaptureFixture) -> None:
    bench.report([side("Labelstream fp32", "fp32", 950)], peers_of(1900, 1000)[:4])
    table = capsys.readouterr().out
    places = [table.index(f"| {name}") for name in ("Hugging", "Labelstream", "by hand, OpenVINO")]
    assert places == sorted(places)
    assert "| by hand, OpenVINO fp32         | 5.0       | 1,900    | 2.00" in table


def test_only_the_best_of_a_group_goes_on() -> None:
    some = [
        side("Hugging Face pipeline, batch 1", "1", 100),
        side("Hugging Face pipeline, batch 8", "8", 120),
        side("Hugging Face pipeline, batch 32", "32", 90),
        side("by hand, PyTorch fp32", "fp32", 80),
    ]
    best = bench.best_of_each_group({each.name: each for each in some})
    assert list(best) == ["Hugging Face pipeline, batch 8", "by hand, PyTorch fp32"]


def test_noise_to_the_last_is_told(capsys: pytest.CaptureFixture) -> None:
    bench.report([side("Labelstream fp32", "fp32", 950, taken=0.2)], peers_of(1900, 1000))
    assert "others took more than 5% of the cores" in capsys.readouterr().err


def refuse(checkpoint: Path, setting: str, layout: peers.Layout) -> peers.Label:
    raise ValueError("it takes\nno models of this kind")


def test_an_engine_that_does_not_run_is_told_with_its_reason(tmp_path: Path) -> None:
    engine = peers.Engine("by hand, X", refuse, "fp32", (peers.Layout(1, 1),))
    sent: list[Any] = []

    class Pipe:
        send = staticmethod(sent.append)

    with pytest.raises(SystemExit):
        peers._serve(engine, engine.layouts[0], tmp_path, ["a"], ["a"], Pipe)
    assert sent == [("failed", "ValueError: it takes")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--precisions", "fp32,fp8"], "there is no precision fp8"),
        (["--records", "0"], "--records must be at least 1"),
        (["--texts", "nowhere.txt"], "there is no file nowhere.txt"),
        (["--json", "nowhere/bench.json"], "there is no folder for nowhere/bench.json"),
    ],
)
def test_wrong_use_ends_with_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(arguments)
    assert sentence in capsys.readouterr().err


def test_labels_are_compared_where_both_sides_have_one() -> None:
    # A partition may be read to its end before the clock starts: its texts have no label then.
    assert bench.agreement(["a", "b", None, "a"], ["a", None, "b", "b"]) == 0.5

"""Labelstream as its users run it: a broker and a Flink cluster of the bench's own, on free ports.

The topic is filled beforehand. What comes out is counted while the job runs, and read afterwards:
the clock is that of the broker, which stamps each record as it is appended to the output topic. It
runs from the last warm-up record to the last one, so that start-up, loading and what Java compiles
are not in it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench_common
from bench_common import REPOSITORY, Phase, Stopwatch, cores

KAFKA, FLINK = (str(REPOSITORY / "scripts" / f"{name}-local.sh") for name in ("kafka", "flink"))
PIPELINE = "bench"
FIRST_OUTPUT_WITHIN, NEXT_OUTPUT_WITHIN = 300, 120  # seconds
LOOK_EVERY = 0.05


@dataclass(frozen=True)
class Out:
    """A record of the output topic.

    Attributes:
        place: of its text among those that were sent.
        milliseconds: when the broker appended it.
        result: what the pipeline says of it.
    """

    place: int
    milliseconds: int
    result: dict[str, Any]


class Cluster:
    """A broker and a Flink cluster, to be used in a ``with``."""

    def __init__(self, slots: int | None = None, taskmanagers: int = 1) -> None:
        self.slots, self.taskmanagers = slots or cores(), taskmanagers
        self.state = bench_common.STATE / "cluster"
        self.jobs = itertools.count(1)
        self.bootstrap, self.port = "", 0

    def __enter__(self) -> Cluster:
        shutil.rmtree(self.state / "kafka", ignore_errors=True)
        try:
            self.command(KAFKA, "start")
            self.bootstrap = (self.state / "kafka" / "address").read_text().strip()
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            self.command(
                *(FLINK, "start", "--port", str(self.port), "--slots", str(self.slots)),
                *("--taskmanagers", str(self.taskmanagers)),
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for script in (FLINK, KAFKA):
            with contextlib.suppress(SystemExit):
                self.command(script, "stop")
        for folder in ("kafka", "flink/checkpoints"):
            shutil.rmtree(self.state / folder, ignore_errors=True)

    def command(self, *words: str) -> str:
        """What one of the scripts prints; ends with what it says when it fails."""
        environment = {
            **os.environ,
            "LABELSTREAM_STATE": str(self.state),
            "LABELSTREAM_KAFKA_PORT": "0",
        }
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"bench: {Path(words[0]).name} {words[1]}: {done.stderr.strip()}")
        return done.stdout.strip()

    @property
    def pids(self) -> list[int]:
        """Of the broker and of the cluster."""
        files = [*(self.state / "kafka").glob("*.pid"), *(self.state / "flink/run").glob("*.pid")]
        return [int(file.read_text()) for file in files]

    def submit(self, job: dict[str, Any]) -> str:
        """The id of a job, which then starts."""
        file = self.state / "job.yaml"
        file.write_text(json.dumps(job, indent=2) + "\n", "utf-8")  # JSON is YAML
        return self.command(FLINK, "submit", str(file))

    def cancel(self, job: str) -> None:
        """Ends a job."""
        self.command(FLINK, "cancel", job)

    def check(self, job: str) -> None:
        """Ends with a sentence when the job has ended."""
        url = f"http://127.0.0.1:{self.port}/jobs/{job}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            state = json.load(answer)["state"]
        if state in ("FAILED", "FAILING", "CANCELED", "RESTARTING"):
            sys.exit(f"bench: the job is {state}: see {self.state}/flink/log/taskmanager-1.log")


def label_all(
    cluster: Cluster,
    model: Path,
    values: Sequence[bytes],
    warm: int,
    *,
    partitions: int = 4,
    parallelism: int = 1,
    pipeline: dict[str, Any] | None = None,
) -> Phase:
    """Labels values, Kafka to Kafka.

    Args:
        cluster: where.
        model: the model folder.
        values: the records' values; they are sent in order, to one partition after another.
        warm: how many come out before the clock starts.
        partitions: of the topics.
        parallelism: of the pipeline.
        pipeline: more keys of the pipeline in the job file.

    Returns:
        The measurement; its results are the records that came out after the clock had started.
    """
    from confluent_kafka import TopicPartition

    number = next(cluster.jobs)
    texts, labels, dead = (f"{name}-{number}" for name in ("texts", "labels", "dead"))
    _create(cluster, [texts, labels, dead], partitions)
    _fill(cluster, texts, values, partitions)
    job = cluster.submit(
        {
            "name": f"bench-{number}",
            "pipelines": [
                {
                    "name": PIPELINE,
                    "model": str(model),
                    "input": {"topic": texts, "start": "earliest"},
                    "output": {"topic": labels},
                    "dead-letters": {"topic": dead},
                    "parallelism": parallelism,
                    **(pipeline or {}),
                }
            ],
            "kafka": {
                "common": {"bootstrap.servers": cluster.bootstrap},
                "consumer": {"group.id": f"bench-{number}"},
            },
        }
    )
    consumer = _consumer(cluster)

    def count(topic: str) -> int:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        return sum(consumer.get_watermark_offsets(each, timeout=30)[1] for each in places)

    try:
        watch, cpu, seen = None, None, 0
        deadline = time.monotonic() + FIRST_OUTPUT_WITHIN
        next_check = 0.0
        while seen < len(values):
            time.sleep(LOOK_EVERY)
            now = count(labels)
            if now > seen:
                seen, deadline = now, time.monotonic() + NEXT_OUTPUT_WITHIN
            if watch is None and seen >= warm:
                watch = Stopwatch([os.getpid(), *cluster.pids], cores())
            if time.monotonic() > next_check:
                cluster.check(job)
                if count(dead):
                    tell_dead_letter(_read(consumer, dead, partitions, 1)[0])
                next_check = time.monotonic() + 1
            if time.monotonic() > deadline:
                sys.exit(
                    f"bench: {seen} of {len(values)} records came out, and no more for a while: "
                    f"see {cluster.state}/flink/log/taskmanager-1.log"
                )
        cpu = watch.stop(None)
        out = [read_out(message) for message in _read(consumer, labels, partitions, len(values))]
    finally:
        consumer.close()
        with contextlib.suppress(SystemExit):
            cluster.cancel(job)
    if len({each.place for each in out}) != len(values):
        sys.exit(f"bench: of {len(values)} records not each came out once: this is a fault")
    seconds, measured = after_warm_up(out, warm)
    return Phase(seconds, measured, cpu.cpu and cpu.cpu * seconds / cpu.seconds, cpu.taken)


def after_warm_up(out: Sequence[Out], warm: int) -> tuple[float, list[Out]]:
    """The seconds from the last warm-up record to the last one, and what came out in them."""
    ordered = sorted(out, key=lambda each: each.milliseconds)
    start = ordered[warm - 1].milliseconds
    measured = [each for each in ordered if each.milliseconds > start]
    if not measured:
        sys.exit("bench: all records came out within a millisecond: give more with --records")
    return (measured[-1].milliseconds - start) / 1000, measured


def read_out(message: Any) -> Out:
    """A labelled record, which has the place of its text as its id."""
    value = json.loads(message.value())
    return Out(int(value["id"]), message.timestamp()[1], value["inference"][PIPELINE])


def tell_dead_letter(message: Any) -> None:
    """Ends with what became of a record."""
    headers = {name: value.decode("utf-8", "replace") for name, value in message.headers() or []}
    sys.exit(
        f"bench: a record became a dead letter ({headers.get('labelstream.error.code')}: "
        f"{headers.get('labelstream.error.message')}): nothing can be measured with it"
    )


def values_of(texts: Sequence[str], count: int) -> list[bytes]:
    """The texts as records, repeated as often as needed."""
    return [
        json.dumps({"id": str(place), "text": texts[place % len(texts)]}).encode()
        for place in range(count)
    ]


def _create(cluster: Cluster, topics: Sequence[str], partitions: int) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    config = {"message.timestamp.type": "LogAppendTime"}
    asked = [NewTopic(topic, partitions, 1, config=config) for topic in topics]
    made = AdminClient({"bootstrap.servers": cluster.bootstrap}).create_topics(asked)
    for future in made.values():
        future.result(60)


def _fill(cluster: Cluster, topic: str, values: Sequence[bytes], partitions: int) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": cluster.bootstrap, "linger.ms": 20})
    for place, value in enumerate(values):
        producer.produce(topic, value, partition=place % partitions)
        if place % 10_000 == 9_999:
            producer.flush()  # so that its buffer does not fill up
    if producer.flush(60):
        sys.exit("bench: the broker does not take the texts: see its log")


def _consumer(cluster: Cluster) -> Any:
    from confluent_kafka import Consumer

    return Consumer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "group.id": "bench",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )


def _read(consumer: Any, topic: str, partitions: int, count: int) -> list[Any]:
    from confluent_kafka import OFFSET_BEGINNING, TopicPartition

    places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)]
    consumer.assign(places)
    messages: list[Any] = []
    while len(messages) < count:
        some = [each for each in consumer.consume(10_000, timeout=10) if not each.error()]
        if not some:
            sys.exit(f"bench: {len(messages)} of {count} records of {topic} could be read")
        messages += some
    return messages

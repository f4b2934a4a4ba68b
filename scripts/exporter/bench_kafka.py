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
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench_common
from bench_common import REPOSITORY, Phase, Stopwatch, cores

KAFKA, FLINK = (str(REPOSITORY / "scripts" / f"{name}-local.sh") for name in ("kafka", "flink"))
PIPELINE = "bench"
PARTITIONS = 4
FIRST_OUTPUT_WITHIN, NEXT_OUTPUT_WITHIN = 300, 120  # seconds
LOOK_EVERY = 0.5  # seconds: what looking costs the broker is taken from what is measured


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

    def __init__(
        self, slots: int | None = None, taskmanagers: int = 1, workers: int | None = None
    ) -> None:
        """
        Args:
            slots: of each TaskManager; as many as cores if None.
            taskmanagers: how many.
            workers: on how many threads each runs models; as many as cores if None.
        """
        self.slots, self.taskmanagers = slots or cores(), taskmanagers
        self.workers = workers or cores()
        self.state = bench_common.STATE / "cluster"
        self.jobs = itertools.count(1)
        self.bootstrap, self.port = "", 0

    def __enter__(self) -> Cluster:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it is stopped then too
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
        workers = f"-Dlabelstream.workers={self.workers}"
        environment = {
            **os.environ,
            "LABELSTREAM_STATE": str(self.state),
            "LABELSTREAM_KAFKA_PORT": "0",
            "JDK_JAVA_OPTIONS": " ".join([os.environ.get("JDK_JAVA_OPTIONS", ""), workers]).strip(),
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


class Pipeline:
    """A job of one pipeline with topics of its own, to be used in a ``with``."""

    def __init__(
        self,
        cluster: Cluster,
        model: Path,
        *,
        partitions: int = PARTITIONS,
        parallelism: int = 1,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        """Makes the topics; the job is not there before ``start``.

        Args:
            cluster: where.
            model: the model folder.
            partitions: of the topics.
            parallelism: of the pipeline.
            parameters: those of the task.
        """
        from confluent_kafka import Producer

        self.cluster, self.partitions = cluster, partitions
        self.number, self.job, self.sent = next(cluster.jobs), "", 0
        names = ("texts", "labels", "dead")
        self.texts, self.labels, self.dead = (f"{name}-{self.number}" for name in names)
        self.description = {
            "name": PIPELINE,
            "model": str(model),
            "input": {"topic": self.texts, "start": "earliest"},
            "output": {"topic": self.labels},
            "dead-letters": {"topic": self.dead},
            "parallelism": parallelism,
            "parameters": parameters or {},
            "cache": {"in-flight": False},  # the same texts come again and again
        }
        _create(cluster, [self.texts, self.labels, self.dead], partitions)
        self.producer = Producer(
            {"bootstrap.servers": cluster.bootstrap, "linger.ms": 0, "log_level": 0}
        )
        self.consumer = _consumer(cluster)

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.consumer.close()
        if self.job:
            with contextlib.suppress(SystemExit):
                self.cluster.cancel(self.job)

    def start(self) -> None:
        """Submits the job."""
        self.job = self.cluster.submit(
            {
                "name": f"bench-{self.number}",
                "pipelines": [self.description],
                "kafka": {
                    "common": {"bootstrap.servers": self.cluster.bootstrap},
                    "consumer": {"group.id": f"bench-{self.number}"},
                },
            }
        )

    def send(self, values: Sequence[bytes]) -> None:
        """Sends values, to one partition after another."""
        for value in values:
            self.producer.produce(self.texts, value, partition=self.sent % self.partitions)
            self.sent += 1
            if self.sent % 10_000 == 0:
                self.producer.flush()  # so that its buffer does not fill up
        if self.producer.flush(60):
            sys.exit("bench: the broker does not take the texts: see its log")

    def send_soon(self, value: bytes) -> None:
        """Sends one value without waiting for the broker."""
        self.producer.produce(self.texts, value, partition=self.sent % self.partitions)
        self.producer.poll(0)
        self.sent += 1

    @contextlib.contextmanager
    def listening(self) -> Iterator[Callable[[], list[bytes]]]:
        """Gives a function that waits for the values of what comes out from now on.

        It ends with a sentence when the job has ended or nothing comes out any more.
        """
        from confluent_kafka import TopicPartition

        places = [
            TopicPartition(self.labels, number, self._end(self.labels, number))
            for number in range(self.partitions)
        ]
        self.consumer.assign(places)

        def receive() -> list[bytes]:
            message = self.consumer.poll(NEXT_OUTPUT_WITHIN)
            if message is None:
                self.cluster.check(self.job)
                sys.exit(f"bench: nothing comes out: see {self.cluster.state}/flink/log")
            return [] if message.error() else [message.value()]

        yield receive
        self.consumer.unassign()

    def wait(self, count: int) -> None:
        """Waits until so many records have come out.

        Ends with a sentence when one has become a dead letter, the job has ended, or nothing comes
        out any more.
        """
        seen, deadline = -1, time.monotonic() + FIRST_OUTPUT_WITHIN
        next_check = 0.0
        while seen < count:
            now = self._count(self.labels)
            if now > seen:
                seen, deadline = now, max(deadline, time.monotonic() + NEXT_OUTPUT_WITHIN)
            if time.monotonic() > next_check:
                self.cluster.check(self.job)
                if self._count(self.dead):
                    tell_dead_letter(_read(self.consumer, self.dead, self.partitions, 1)[0])
                next_check = time.monotonic() + 1
            if time.monotonic() > deadline:
                sys.exit(
                    f"bench: {seen} of {self.sent} records came out, and no more for a while: see "
                    f"{self.cluster.state}/flink/log/taskmanager-1.log"
                )
            time.sleep(LOOK_EVERY)

    def out(self) -> list[Out]:
        """What has come out of all that was sent."""
        messages = _read(self.consumer, self.labels, self.partitions, self.sent)
        out = [read_out(message) for message in messages]
        if len({each.place for each in out}) != self.sent:
            sys.exit(f"bench: of {self.sent} records not each came out once: this is a fault")
        return out

    def appended(self, place: int) -> int:
        """When the broker appended a text, in milliseconds."""
        messages = _read(self.consumer, self.texts, self.partitions, self.sent)
        return next(
            message.timestamp()[1]
            for message in messages
            if int(json.loads(message.value())["id"]) == place
        )

    def watch(self) -> Stopwatch:
        """Begins to measure the broker, the cluster and this process."""
        return Stopwatch([os.getpid(), *self.cluster.pids], cores())

    def _count(self, topic: str) -> int:
        return sum(self._end(topic, number) for number in range(self.partitions))

    def _end(self, topic: str, number: int) -> int:
        from confluent_kafka import TopicPartition

        place = TopicPartition(topic, number)
        return self.consumer.get_watermark_offsets(place, timeout=30)[1]


def label_all(
    cluster: Cluster, model: Path, values: Sequence[bytes], warm: int, **options: Any
) -> Phase:
    """Labels values that are there beforehand, Kafka to Kafka.

    Args:
        cluster: where.
        model: the model folder.
        values: the records' values.
        warm: how many come out before the clock starts.
        options: of ``Pipeline``.

    Returns:
        The measurement; its results are the records that came out after the clock had started.
    """
    with Pipeline(cluster, model, **options) as pipeline:
        pipeline.send(values)
        pipeline.start()
        pipeline.wait(warm)
        watch = pipeline.watch()
        pipeline.wait(len(values))
        load = watch.stop(None)
        seconds, measured = after_warm_up(pipeline.out(), warm)
    cpu = None if load.cpu is None else load.cpu * seconds / load.seconds
    return Phase(seconds, measured, cpu, load.taken)


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
    client = AdminClient({"bootstrap.servers": cluster.bootstrap})  # kept until all are there
    for future in client.create_topics(asked).values():
        future.result(60)


def _consumer(cluster: Cluster) -> Any:
    from confluent_kafka import Consumer

    return Consumer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "group.id": "bench",
            "log_level": 0,
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

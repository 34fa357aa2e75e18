"""Whatever lies on a queue: a run that ends, or a dead letter; and the good ones are done.

What parses here: `delivered` (the text of a message), `options` (dispatch and trace), `admission`
and `covered` (ids, limits), `service.reserving` (what was accepted), `dead_letters` (what was
buried), `sentinel` (what a worker tells it), and all of Dramatiq that believes an option.
"""

from __future__ import annotations

import json
import math
from typing import Any
from uuid import uuid4

import dramatiq
import pytest
import redis
from dramatiq.broker import Broker
from hypothesis import example, given
from hypothesis import strategies as st

from lastword.config import Config
from lastword.identity import DEEPEST
from lastword.storage.ledger import Row
from lastword_middleware.delivered import LAST_MOMENT_MS, decoded, ref_of
from lastword_middleware.errors import SendRefused
from lastword_middleware.options import LONGEST_TRACE_VALUE, TRACE, dispatch_of, trace_of
from lastword_scheduler.dead_letters import _read
from lastword_scheduler.timetable import generic_reconciler
from tests.campaigns import volume
from tests.fuzzing import ODD_TEXTS, changed, depths, fuzzed, json_bytes, nested, texts, values
from tests.support import Scene, until
from tests.workers import StartWorker, counter

QUEUE = "default"


def is_soon(options: dict[str, Any]) -> bool:
    """Whether no message with these options has to be waited for in earnest."""
    eta = options.get("eta")
    return not isinstance(eta, int | float) or not 10**9 < eta < LAST_MOMENT_MS


OPTIONS = st.dictionaries(
    st.one_of(
        st.sampled_from(
            [
                *("retries", "max_retries", "min_backoff", "max_backoff", "time_limit", "max_age"),
                *("eta", "traceback", "pipe_target", "pipe_ignore", "on_failure", "on_success"),
                *("lastword_dispatch", TRACE, "redis_message_id", "requeue_timestamp"),
                *("group_completion_uuid", "group_completion_callbacks", "store_results", "abort"),
            ]
        ),
        texts,
    ),
    values,
    max_size=3,
).filter(is_soon)


def message(ref: str, **more: Any) -> dict[str, Any]:
    return {
        "queue_name": QUEUE,
        "actor_name": "build",
        "args": [],
        "kwargs": {},
        "options": {"redis_message_id": ref},
        "message_id": str(uuid4()),
        "message_timestamp": 0,
        **more,
    }


@given(
    data=st.one_of(json_bytes, changed(message("ref")).map(lambda said: json.dumps(said).encode()))
)
@example(data=json.dumps(message("ref", args=5)).encode())
@example(data=json.dumps(message("ref", options=[])).encode())
@example(
    data=json.dumps(message("ref", options={"redis_message_id": "r", "eta": math.nan})).encode()
)
@example(data=json.dumps(message("ref", options={"redis_message_id": "r", "eta": 2**63})).encode())
@fuzzed(200, long=50_000)
def test_any_bytes_are_a_message_that_can_be_handled_or_none(data: bytes) -> None:
    told = decoded(data, queue_name=QUEUE)
    row = _read(data)
    assert set(row) == {"actor", "run"}
    if told is None:
        return
    assert isinstance(ref_of(told), str)
    assert told.queue_name == QUEUE
    assert isinstance(told.options, dict)
    assert dispatch_of(told.options) is None or isinstance(dispatch_of(told.options), int)
    # What is handed on goes through the encoder again.
    assert told._message.encode()
    eta = told.options.get("eta")
    assert not isinstance(eta, int | float) or eta < LAST_MOMENT_MS


@given(
    trace=st.one_of(
        values,
        st.dictionaries(st.sampled_from(["traceparent", "tracestate", "x"]), texts, max_size=9),
    )
)
@fuzzed(80, long=10_000)
def test_any_trace_is_short_plain_text_or_left_out(trace: Any) -> None:
    for name, value in trace_of({TRACE: trace}).items():
        assert (name + value).isascii()
        assert (name + value).isprintable()
        assert len(value) <= LONGEST_TRACE_VALUE


class Campaign:
    """A queue, and rubbish that is put on it."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)

    def put(self, data: bytes, queue: str = QUEUE) -> None:
        ref = str(uuid4())
        data = data.replace(b"REF", ref.encode()).replace(
            b'"ID"', json.dumps(str(uuid4())).encode()
        )
        self.client.hset(f"dramatiq:{queue}.msgs", ref, data)
        self.client.rpush(f"dramatiq:{queue}", ref)

    def left(self) -> dict[str, int]:
        """What is still to be done: messages that wait, and those that somebody holds."""
        held: Any = self.client.keys("dramatiq:__acks__.*")
        return {
            **{name: int(self.client.llen(f"dramatiq:{name}")) for name in (QUEUE, f"{QUEUE}.DQ")},
            **{key.decode(): int(self.client.scard(key)) for key in held},
        }

    def messages(self) -> list[bytes]:
        """What is still there, as it is written."""
        found: Any = self.client.hvals(f"dramatiq:{QUEUE}.msgs")
        return list(found)

    def is_done(self) -> bool:
        return not any(self.left().values())

    def dead_letters(self) -> int:
        return int(self.client.zcard(f"dramatiq:{QUEUE}.XQ"))


@pytest.fixture
def campaign(redis_url: str) -> Campaign:
    return Campaign(redis_url)


SAID = message("REF", message_id="ID")

#: A message with something wrong in it, or in its options, or that is none.
RUBBISH = st.one_of(
    changed(SAID)
    .map(lambda told: {**told, "options": {"redis_message_id": "REF"}})
    .map(lambda told: json.dumps(told).encode()),
    OPTIONS.map(
        lambda more: json.dumps({**SAID, "options": {**more, "redis_message_id": "REF"}}).encode()
    ),
    st.sampled_from(ODD_TEXTS).map(lambda id_: json.dumps({**SAID, "message_id": id_}).encode()),
    depths.map(lambda depth: json.dumps(SAID).replace("[]", nested(depth)).encode()),
    json_bytes,
)


def drawn(count: int) -> list[bytes]:
    """So much rubbish; drawn before there are threads, which Hypothesis would take for its own."""
    found: list[bytes] = []

    @given(one=RUBBISH)
    @fuzzed(count, long=count)
    def collect(one: bytes) -> None:
        found.append(one)

    collect()
    return found


@pytest.mark.parametrize("depth", [DEEPEST + 1, 850, 900])
def test_a_message_that_nests_too_deep_is_buried_and_ends_no_thread(
    broker: Broker, scene: Scene, start_worker: StartWorker, campaign: Campaign, depth: int
) -> None:
    # Python cannot print it: the log line of its failure would end the thread that works on it.
    seen: list[object] = []

    @dramatiq.actor(operation="report.once", broker=broker)
    def build(*args: object) -> None:
        seen.append(args)
        assert not args, "as a job may"

    campaign.put(json.dumps(SAID).replace("[]", nested(depth)).encode())
    worker = start_worker()
    until(lambda: campaign.dead_letters() == 1, what="the message to be dead-lettered")
    assert scene.completed(build.send().message_id)["outcome"] == "succeeded"
    assert seen == [()]
    assert all(thread.is_alive() for thread in worker.workers)
    until(lambda: counter(scene, "refused_deliveries", "undecodable_message") == 1)


def test_what_would_nest_too_deep_is_refused_where_it_is_sent(broker: Broker) -> None:
    @dramatiq.actor(operation="report.once", broker=broker)
    def build(value: object) -> None: ...

    with pytest.raises(SendRefused, match=f"deeper than {DEEPEST} levels"):
        build.send(json.loads(nested(DEEPEST + 1)))


def runs(scene: Scene) -> list[Row]:
    with scene.ledger.session():
        return scene.ledger.execute("SELECT id, status, outcome, reason, payload FROM lastword_run")


def test_any_rubbish_on_a_queue_is_ended_or_buried_and_the_good_is_done(
    broker: Broker,
    config: Config,
    scene: Scene,
    start_worker: StartWorker,
    campaign: Campaign,
) -> None:
    seen: list[object] = []
    rubbish = drawn(volume(120, long=2000))

    @dramatiq.actor(operation="report.build", broker=broker)
    def build(*args: object, **kwargs: object) -> None:
        seen.append((args, kwargs))
        raise ValueError("as a job may")

    @dramatiq.actor(operation="report.once", broker=broker)
    def good(number: int) -> None:
        seen.append(number)

    worker = start_worker()
    for place in range(0, len(rubbish), 100):
        for data in rubbish[place : place + 100]:
            campaign.put(data)
        sent = [good.send(place) for _ in range(3)]
        for one in sent:
            assert scene.completed(one.message_id)["outcome"] == "succeeded"
    reconciler = generic_reconciler(config, scene.ledger)

    def is_over() -> bool:
        # A retry that such options break is lost in the queue, and made up for from the ledger.
        reconciler.sweep()
        return campaign.is_done() and all(row["status"] == "completed" for row in runs(scene))

    try:
        until(is_over, within_s=60)
    except AssertionError:
        open_runs = [row for row in runs(scene) if row["status"] != "completed"]
        raise AssertionError(f"{campaign.left()}, {campaign.messages()}, {open_runs}") from None
    rows = runs(scene)
    assert all(row["reason"] or row["outcome"] == "succeeded" for row in rows)
    assert campaign.dead_letters() > 0
    assert all(thread.is_alive() for thread in (*worker.workers, *worker.consumers.values()))

"""Whatever goes wrong in whatever order: every message arrives once, and each in its turn."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from standpipe.delivery.outbox import Outbox
from standpipe.testing import recording_broker
from standpipe_protocol.messages import ReportAssetMaterialization, ReportCustomMessage

FAULTS = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 60)),
    st.tuples(st.just("send"), st.integers(1, 60)),
    st.tuples(st.just("reject"), st.just(1)),
    st.tuples(st.just("cut"), st.integers(1, 2)),
    st.tuples(st.just("refuse"), st.integers(1, 2)),
    st.tuples(st.just("restart"), st.just(1)),
    st.tuples(st.just("hold"), st.just(1)),
    st.tuples(st.just("flush"), st.just(1)),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(FAULTS, min_size=1, max_size=12), memory=st.sampled_from([1, 7, 10_000]))
def test_every_story_of_faults_ends_with_everything_stored_once(story: list[tuple[str, int]], memory: int) -> None:
    with recording_broker() as broker:
        outbox = Outbox.connect(broker.bootstrap, memory_messages=memory)
        sent = rejected = 0
        for what, times in story:
            match what:
                case "send":
                    for _ in range(times):
                        outbox.send(ReportCustomMessage(payload=sent))
                        sent += 1
                case "reject":
                    outbox.send(ReportAssetMaterialization(asset_key="a"))
                    rejected += 1
                case "cut":
                    broker.cut_after_store(times)
                case "refuse":
                    broker.refuse(times, problem="internal")
                case "restart":
                    broker.stop()
                    broker.start()
                case "hold":
                    broker.hold()
                case _:
                    broker.let_go()
                    assert outbox.flush(30)
        broker.let_go()
        report = outbox.close(30)
        assert report.acknowledged == report.numbered == sent + rejected
        assert report.undelivered == 0
        assert broker.custom_messages == list(range(sent))
        assert len(report.rejected) == max(rejected - 1, 0)
        assert [one.seq for one in broker.messages] == list(range(1, sent + rejected + 1))

"""Tests of programs that report: a recording broker on loopback, and the environment of an external process.

```python
from standpipe.testing import recording_broker

def test_my_job_reports_its_rows():
    with recording_broker(asset_keys=["orders"]) as broker, broker.environment():
        my_job.main()
    assert broker.materializations["orders"].metadata["rows"]["raw_value"] == 3
```

The broker judges messages by the protocol's rules and misbehaves on request (`refuse`, `hold`, `cut_after_store`,
`stop` and `start`). It keeps everything in memory and computes no verdict: it is not a server. No other room of the SDK
imports this one.
"""

from standpipe.testing.broker import WAIT_SECONDS, RecordingBroker, recording_broker
from standpipe.testing.environment import Environment
from standpipe.testing.recording import RecordedMessage

__all__ = ["WAIT_SECONDS", "Environment", "RecordedMessage", "RecordingBroker", "recording_broker"]

"""How the events of runs and of documents are written."""

from typing import Final

from shared.contracts import document_events, runs
from shared.contracts.document_events import DocumentEvent
from shared.contracts.runs import RunEvent
from shared.event_log.port import EventCodec

RUN_EVENTS: Final = EventCodec[RunEvent](runs.dump_run_event, runs.load_run_event)
DOCUMENT_EVENTS: Final = EventCodec[DocumentEvent](
    document_events.dump_document_event, document_events.load_document_event
)

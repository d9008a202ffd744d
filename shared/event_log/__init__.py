"""The event log: what happens in a run or in a document's ingest, as one numbered stream of events."""

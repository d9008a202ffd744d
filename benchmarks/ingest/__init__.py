"""What ingesting costs and how long it takes, measured side by side: `python -m benchmarks.ingest.lanes`."""

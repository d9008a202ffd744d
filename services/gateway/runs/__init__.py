"""Runs: who owns the task that answers a question, and how its events become bytes."""

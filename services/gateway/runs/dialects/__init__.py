"""Dialects: the events of a run as bytes, each as one kind of client expects them."""

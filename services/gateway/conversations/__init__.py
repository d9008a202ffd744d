"""Conversations: what was asked before goes with a question, and what is answered is kept."""

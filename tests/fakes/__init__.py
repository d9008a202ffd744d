"""The ports of `shared` in memory, for tests of use cases; `tests/contract/` holds them to what the real ones do."""

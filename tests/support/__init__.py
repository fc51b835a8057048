"""Oracles, random problems and native calls for tests."""

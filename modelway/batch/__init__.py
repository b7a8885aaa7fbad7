"""Batch inference: stream, score, exactly once."""

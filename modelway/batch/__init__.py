"""Batch inference: stream a folder of Parquet files through a bundle, exactly once."""

"""When a request passed which stage, for its trace."""

import msgspec


class Marks(msgspec.Struct):
    """Moments of `perf_counter_ns`; 0 where it never came."""

    head_ns: int
    """Its head was there."""
    body_ns: int = 0
    """Its body was there."""
    decoded_ns: int = 0
    scoring_ns: int = 0
    """It waited no longer."""
    scored_ns: int = 0
    encoded_ns: int = 0

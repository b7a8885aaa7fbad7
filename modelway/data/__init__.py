"""From raw tables to immutable, validated snapshots on two clocks."""

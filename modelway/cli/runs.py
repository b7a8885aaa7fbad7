"""What a command does before it runs a flow."""

from datetime import UTC, datetime


def ready_stack() -> str:
    """Make this home's environment and stack ready; returns the active stack's name."""
    from stacks.environment import activate_home  # noqa: PLC0415 - before ZenML and Prefect are imported

    home = activate_home()
    home.prefect.mkdir(parents=True, exist_ok=True)
    from stacks.apply import ensure_active_stack  # noqa: PLC0415 - ZenML, seconds

    return ensure_active_stack(home)


def day_in_utc(day: datetime | None) -> datetime:
    """A date from the command line, as midnight UTC; today's when none was given."""
    chosen = day or datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return chosen.replace(tzinfo=UTC)

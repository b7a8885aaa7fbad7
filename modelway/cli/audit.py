"""`modelway audit`: the log of decisions, at the top level too, for it is about more than models."""

from modelway.cli.models import audit_app

app = audit_app

"""The signed deployable. Serving reads it, so nothing heavy is imported here."""

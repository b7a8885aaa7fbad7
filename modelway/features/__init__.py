"""Features: one definition for training, batch and online, right at its point in time."""

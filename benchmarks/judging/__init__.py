"""What the judge benchmark is made of."""

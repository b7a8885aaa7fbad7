"""What the model sees and how it fares: drift, matured performance, and when to train again."""

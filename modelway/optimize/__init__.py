"""From a trained model to the graph that is served, and the proof that both answer the same."""

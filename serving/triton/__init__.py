"""A bundle as a model repository for NVIDIA's Triton server."""

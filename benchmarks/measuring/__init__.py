"""What `benchmarks/serving.py` is made of: the model, the requests, the servers, the load and the table."""

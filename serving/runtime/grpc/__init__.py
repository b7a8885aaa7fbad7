"""Open Inference Protocol V2 over gRPC. Nothing here is imported unless the server is asked for it."""

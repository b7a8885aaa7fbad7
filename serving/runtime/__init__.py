"""The model server: one process, one verified bundle, V2 and V1 REST over ONNX Runtime."""

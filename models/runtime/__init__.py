"""Backends that run a network: ONNX Runtime to serve, torch as its peer for checks and development."""

"""The Open Inference Protocol v2 over gRPC. Imports gRPC: only where ``[serve] grpc_port`` is set."""

"""The messages of the Open Inference Protocol v2 over gRPC, made when they are needed.

After `open_inference_grpc.proto` of https://github.com/kserve/open-inference-protocol. What protoc
generates checks the version of the library that it meets, and can be registered only once a process,
which Triton's client does with the same names. So the classes are made here, in a pool of their own.
On the wire a map is its entries, a oneof is its fields and it doesn't matter what is nested in what.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"

_MESSAGES = {
    "ServerLiveResponse": "bool live = 1",
    "ServerReadyResponse": "bool ready = 1",
    "ModelReadyRequest": "string name = 1; string version = 2",
    "ModelReadyResponse": "bool ready = 1",
    "ServerMetadataResponse": "string name = 1; string version = 2; repeated string extensions = 3",
    "ModelMetadataRequest": "string name = 1; string version = 2",
    "TensorMetadata": "string name = 1; string datatype = 2; repeated int64 shape = 3",
    "ModelMetadataResponse": (
        "string name = 1; repeated string versions = 2; string platform = 3; "
        "repeated TensorMetadata inputs = 4; repeated TensorMetadata outputs = 5"
    ),
    "InferParameter": (
        "bool bool_param = 1; int64 int64_param = 2; string string_param = 3; double double_param = 4; "
        "uint64 uint64_param = 5"
    ),
    "Parameter": "string key = 1; InferParameter value = 2",
    "InferTensorContents": (
        "repeated bool bool_contents = 1; repeated int32 int_contents = 2; "
        "repeated int64 int64_contents = 3; repeated uint32 uint_contents = 4; "
        "repeated uint64 uint64_contents = 5; repeated float fp32_contents = 6; "
        "repeated double fp64_contents = 7; repeated bytes bytes_contents = 8"
    ),
    "InferTensor": (
        "string name = 1; string datatype = 2; repeated int64 shape = 3; repeated Parameter parameters = 4; "
        "InferTensorContents contents = 5"
    ),
    "InferRequestedOutputTensor": "string name = 1; repeated Parameter parameters = 2",
    "ModelInferRequest": (
        "string model_name = 1; string model_version = 2; string id = 3; repeated Parameter parameters = 4; "
        "repeated InferTensor inputs = 5; repeated InferRequestedOutputTensor outputs = 6; "
        "repeated bytes raw_input_contents = 7"
    ),
    "ModelInferResponse": (
        "string model_name = 1; string model_version = 2; string id = 3; repeated Parameter parameters = 4; "
        "repeated InferTensor outputs = 5; repeated bytes raw_output_contents = 6"
    ),
    # grpc/health/v1/health.proto; its status is an enum, which is a number on the wire.
    "HealthCheckRequest": "string service = 1",
    "HealthCheckResponse": "int32 status = 1",
    # google/rpc/status.proto and error_details.proto: when to come again.
    "Duration": "int64 seconds = 1; int32 nanos = 2",
    "RetryInfo": "Duration retry_delay = 1",
    "Detail": "string type_url = 1; bytes value = 2",
    "Status": "int32 code = 1; string message = 2; repeated Detail details = 3",
}


def _made() -> dict[str, Any]:
    """The classes, by name."""
    file = descriptor_pb2.FileDescriptorProto(
        name="treadle_inference.proto", package="inference", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields.split("; "):
            *repeated, kind, named, _, number = field.split()
            one = message.field.add(name=named, number=int(number))
            one.label = one.LABEL_REPEATED if repeated else one.LABEL_OPTIONAL
            if kind in _MESSAGES:
                one.type, one.type_name = one.TYPE_MESSAGE, f".inference.{kind}"
            else:
                one.type = getattr(one, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
        for name in _MESSAGES
    }


# What protobuf makes can't be typed: the names are known only now.
MESSAGES: dict[str, Any] = _made()

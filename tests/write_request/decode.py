"""Reads a compressed prometheus.WriteRequest from standard input, by Google's own libraries, and prints
for each series a line with its labels and a line for each sample, the value as its bits."""

import json
import struct
import sys

import snappy
from google.protobuf import descriptor_pb2, message_factory

Field = descriptor_pb2.FieldDescriptorProto
ONE, MANY = Field.LABEL_OPTIONAL, Field.LABEL_REPEATED

# As in Prometheus's prompb/remote.proto and types.proto.
MESSAGES = {
    "WriteRequest": [("timeseries", 1, MANY, "TimeSeries")],
    "TimeSeries": [("labels", 1, MANY, "Label"), ("samples", 2, MANY, "Sample")],
    "Label": [("name", 1, ONE, Field.TYPE_STRING), ("value", 2, ONE, Field.TYPE_STRING)],
    "Sample": [("value", 1, ONE, Field.TYPE_DOUBLE), ("timestamp", 2, ONE, Field.TYPE_INT64)],
}

file = descriptor_pb2.FileDescriptorProto(name="remote.proto", package="prometheus", syntax="proto3")
for message, fields in MESSAGES.items():
    described = file.message_type.add(name=message)
    for name, number, label, kind in fields:
        field = described.field.add(name=name, number=number, label=label)
        if isinstance(kind, str):
            field.type, field.type_name = Field.TYPE_MESSAGE, f".prometheus.{kind}"
        else:
            field.type = kind

request = message_factory.GetMessages([file])["prometheus.WriteRequest"]()
request.ParseFromString(snappy.uncompress(sys.stdin.buffer.read()))
for series in request.timeseries:
    print(json.dumps([[label.name, label.value] for label in series.labels]))
    for sample in series.samples:
        print(sample.timestamp, struct.pack(">d", sample.value).hex())

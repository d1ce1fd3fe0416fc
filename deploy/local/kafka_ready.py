"""Exit 0 if the Kafka broker on 127.0.0.1:PORT serves: it knows itself and its controller.

Speaks just enough of the protocol (one Metadata request, version 1) to need no library.
"""

import socket
import struct
import sys

METADATA, VERSION, CORRELATION_ID = 3, 1, 7


def metadata_of_no_topics(connection):
    header = struct.pack(">hhih", METADATA, VERSION, CORRELATION_ID, -1)
    request = header + struct.pack(">i", 0)
    connection.sendall(struct.pack(">i", len(request)) + request)
    with connection.makefile("rb") as answer:
        (size,) = struct.unpack(">i", answer.read(4))
        return answer.read(size)


def main():
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2) as connection:
        answer = metadata_of_no_topics(connection)
    correlation_id, brokers = struct.unpack_from(">ii", answer)
    # after the brokers: controller id, and an empty list of topics
    (controller, topics) = struct.unpack(">ii", answer[-8:])
    if correlation_id != CORRELATION_ID or brokers < 1 or controller < 0 or topics != 0:
        sys.exit("not ready")


if __name__ == "__main__":
    main()

"""Make the mongod on 127.0.0.1:PORT the primary of replica set rs0, and wait until it is.

Safe to run at any time: a set that exists is left alone, unless it was made on another port.
"""

import sys
import time

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

ALREADY_INITIALIZED = 23
PATIENCE_SECONDS = 20


def ensure_member(admin, host):
    try:
        admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": host}]})
    except OperationFailure as error:
        if error.code != ALREADY_INITIALIZED:
            raise
        move_member(admin, host)


def move_member(admin, host):
    """After a change of port mongod finds itself missing from its own set."""
    config = admin.command("replSetGetConfig")["config"]
    if config["members"][0]["host"] != host:
        config["members"][0]["host"] = host
        config["version"] += 1
        admin.command("replSetReconfig", config, force=True)


def main():
    host = f"127.0.0.1:{sys.argv[1]}"
    admin = MongoClient(host, directConnection=True, serverSelectionTimeoutMS=2000).admin
    asked = False
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if admin.command("hello")["isWritablePrimary"]:
            return
        if not asked:
            ensure_member(admin, host)
            asked = True
        time.sleep(0.05)
    sys.exit(f"{host} is not yet primary")


if __name__ == "__main__":
    try:
        main()
    except PyMongoError as error:
        sys.exit(f"replset_init: {error}")

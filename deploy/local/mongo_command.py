"""Send one command, as JSON, to DATABASE of the mongod on 127.0.0.1:PORT, and print the answer.

Of a cursor its first batch is printed, a document a line.
"""

import sys

from bson import json_util
from pymongo import MongoClient
from pymongo.errors import PyMongoError


def main():
    port, database, text = sys.argv[1:]
    client = MongoClient(f"127.0.0.1:{port}", directConnection=True, serverSelectionTimeoutMS=3000)
    answer = client[database].command(json_util.loads(text))
    for about_the_set in ("$clusterTime", "operationTime"):
        answer.pop(about_the_set, None)
    documents = answer["cursor"]["firstBatch"] if "cursor" in answer else [answer]
    for document in documents:
        print(json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS))


if __name__ == "__main__":
    try:
        main()
    except (PyMongoError, ValueError) as error:
        sys.exit(f"mongo: {error}")

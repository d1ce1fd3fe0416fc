# shellcheck shell=bash
# Kafka 4, one node that is both broker and controller (KRaft: no ZooKeeper).

# The version in kafka/pom.xml. Not 4.3.0, 4.3.1, or 4.4.0: they lose transaction markers at
# a clean stop of a single broker (KAFKA-20734), and the topic then hangs for good.
KAFKA_FOLDER=kafka-4.2.2

kafka_fetch() {
  need java default-jre-headless
  [[ -d $STACK_SERVERS/$KAFKA_FOLDER ]] || need mvn maven
  fetch_into "$KAFKA_FOLDER" "kafka 4.2.2 (46 MB)" kafka_download || exit 1
}

kafka_download() {
  mvn -q -B -f "$HERE/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$1/out"
}

kafka_ports() { echo KAFKA_PORT KAFKA_CONTROLLER_PORT; }
kafka_where() { echo "127.0.0.1:$KAFKA_PORT"; }

kafka_launch() {
  local properties=$STACK_DIR/run/kafka.properties data=$STACK_DIR/data/kafka
  # Of a property that stands there twice the last one counts.
  { kafka_properties && cat "$KAFKA_PROPERTIES"; } >"$properties"
  [[ -e $data/meta.properties ]] || kafka_format "$properties" "$data"
  kafka_data_is_ours || die "$(display_path "$data") was written by another release of Kafka than $KAFKA_FOLDER, which cannot read it: deploy/local/stack wipe"
  kafka_command
  launch kafka "${KAFKA_COMMAND[@]}" kafka.Kafka "$properties"
}

kafka_properties() {
  local text
  text=$(<"$HERE/kafka/server.properties")
  text=${text//@PORT@/$KAFKA_PORT}
  text=${text//@CONTROLLER_PORT@/$KAFKA_CONTROLLER_PORT}
  echo "${text//@DATA@/$STACK_DIR/data/kafka}"
}

# Gives the storage its cluster id. The marker file is written last, so a format that was
# interrupted starts again from nothing.
kafka_format() {
  local cluster_id
  cluster_id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'xy')
  rm -rf "$2"
  kafka_command
  "${KAFKA_COMMAND[@]}" kafka.tools.StorageTool format -t "${cluster_id:0:22}" -c "$1" >>"$STACK_DIR/log/kafka.log" 2>&1 ||
    { rm -rf "$2" && fail_with_log kafka "could not format its storage"; }
  echo "$KAFKA_FOLDER" >"$2/release"
}

# An older release cannot read what a newer one formatted.
kafka_data_is_ours() {
  local data=$STACK_DIR/data/kafka
  [[ ! -e $data/meta.properties || $(cat "$data/release" 2>/dev/null) == "$KAFKA_FOLDER" ]]
}

kafka_command() {
  local collector
  case $KAFKA_GC in
    serial) collector=(-XX:+UseSerialGC) ;;
    g1) collector=(-XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35) ;;
    *) die "KAFKA_GC is serial or g1, not '$KAFKA_GC'" ;;
  esac
  KAFKA_COMMAND=(
    java "-Xmx$KAFKA_HEAP" "${collector[@]}" -XX:+ExitOnOutOfMemoryError
    "-Dlog4j2.configurationFile=$HERE/kafka/log4j2.properties"
    -cp "$STACK_SERVERS/$KAFKA_FOLDER/*"
  )
}

kafka_wait() { wait_until kafka 60 kafka_answers; }
kafka_answers() {
  port_answers "$KAFKA_PORT" && python3 "$HERE/kafka_ready.py" "$KAFKA_PORT" 2>/dev/null
}

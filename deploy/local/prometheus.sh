# shellcheck shell=bash
# Prometheus, from Debian's package, and promtool, which checks and tests its rules.

# Not the name that it had before its web pages were complete: that folder is never fetched again.
PROMETHEUS_FOLDER=prometheus-with-pages
RULES=$ROOT/deploy/prometheus/rules

prometheus_fetch() {
  fetch_into "$PROMETHEUS_FOLDER" "prometheus (41 MB)" prometheus_download ||
    die "prometheus could not be fetched. Everything else runs without it: deploy/local/stack start mongodb kafka mysql api relay projector"
}

# Of the machine's own suite, so that its C library serves. Of what comes along only what
# its web pages need is kept: their styles and scripts, in part symbolic links from one of
# these folders into the next, and their icons.
prometheus_download() {
  unpack_packages "$1" '' prometheus || return
  mv "$1/out" "$1/everything" || return
  mkdir -p "$1/out/bin" "$1/out/share" || return
  mv "$1"/everything/usr/bin/{prometheus,promtool} "$1/out/bin" || return
  mv "$1"/everything/usr/share/{prometheus,javascript,nodejs,fonts-glyphicons,fonts} "$1/out/share" || return
  "$1/out/bin/promtool" --version
}

prometheus_ports() { echo PROMETHEUS_PORT; }
prometheus_where() { echo "http://127.0.0.1:$PROMETHEUS_PORT"; }

prometheus_launch() {
  local config=$STACK_DIR/run/prometheus.yml home=$STACK_SERVERS/$PROMETHEUS_FOLDER
  mkdir -p "$STACK_DIR/data/prometheus"
  prometheus_config >"$config"
  local options=(
    --config.file="$config" --storage.tsdb.path="$STACK_DIR/data/prometheus"
    --storage.tsdb.retention.time=7d --web.listen-address="127.0.0.1:$PROMETHEUS_PORT"
  )
  # Where Debian's build looks for its web pages; other builds carry them inside.
  [[ ! -d $home/share/prometheus/web ]] || options+=(--web.local-assets="$home/share/prometheus/web")
  launch prometheus "$home/bin/prometheus" "${options[@]}"
}

prometheus_config() {
  local text
  text=$(<"$HERE/prometheus/prometheus.yml")
  text=${text//@SCRAPE_INTERVAL@/$PROMETHEUS_SCRAPE_INTERVAL}
  text=${text//@RULES@/$RULES}
  text=${text//@API@/127.0.0.1:$API_PORT}
  text=${text//@RELAY@/127.0.0.1:$RELAY_PORT}
  echo "${text//@PROJECTOR@/127.0.0.1:$PROJECTOR_PORT}"
}

prometheus_wait() { wait_until prometheus 60 says_ready "$PROMETHEUS_PORT" /-/ready; }

# The rules are valid, each alert fires when it should, and only then.
check_rules() {
  prometheus_fetch
  local promtool=$STACK_SERVERS/$PROMETHEUS_FOLDER/bin/promtool
  "$promtool" check rules "$RULES"/*.yml
  "$promtool" test rules "$ROOT"/deploy/prometheus/tests/*.yml
}

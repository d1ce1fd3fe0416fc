# shellcheck shell=bash
# Our own three: api, relay, projector. They read their settings from STACK_DIR/env.

api_ports() { echo API_PORT; }
relay_ports() { echo RELAY_PORT; }
projector_ports() { echo PROJECTOR_PORT; }

api_where() { echo "http://127.0.0.1:$API_PORT"; }
relay_where() { echo "http://127.0.0.1:$RELAY_PORT"; }
projector_where() { echo "http://127.0.0.1:$PROJECTOR_PORT"; }

api_launch() { launch_process api; }
relay_launch() { launch_process relay; }
# Its own name in the group: after a kill it need not wait for its former session.
projector_launch() { PROJECTOR_INSTANCE_ID=projector-local launch_process projector; }

api_wait() { wait_until api 60 says_ready "$API_PORT"; }
relay_wait() { wait_until relay 60 says_ready "$RELAY_PORT"; }
projector_wait() { wait_until projector 60 says_ready "$PROJECTOR_PORT"; }

launch_process() {
  local binary=$STACK_BIN_DIR/$1
  [[ -x $binary ]] || die "$1: $(display_path "$binary") is missing; run: make build"
  set -a # our subshell's own environment (start_one runs in one)
  # shellcheck source=/dev/null
  source "$STACK_DIR/env"
  set +a
  launch "$1" "$binary"
}

# says_ready PORT [PATH]: GET /ready, or PATH, answers 200. By hand, so that curl need not be there.
says_ready() { timeout 3 bash -c "$SAYS_READY" ready "$1" "${2:-/ready}" 2>/dev/null; }

# shellcheck disable=SC2016 # expanded by the inner bash
SAYS_READY='
  exec 3<>"/dev/tcp/127.0.0.1/$1"
  printf "GET $2 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" >&3
  read -r _ code _ <&3
  cat <&3 >/dev/null # else the server would log a connection that was reset
  [[ $code == 200 ]]'

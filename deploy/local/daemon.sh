# shellcheck shell=bash
# Background processes: start, recognise, wait for, stop.

# launch NAME COMMAND...: runs it detached from this shell and its terminal.
launch() {
  local name=$1 log=$STACK_DIR/log/$1.log pid
  shift
  touch "$log"
  stat -c %s "$log" >"$STACK_DIR/run/$name.log-start"
  (
    close_inherited_descriptors
    ulimit -Sn 65536 2>/dev/null || true # many databases and topics, many files
    exec setsid "$@" </dev/null >>"$log" 2>&1
  ) &
  pid=$!
  # A pid alone may meanwhile belong to another process; pid and start time together may not.
  process_start_time "$pid" >"$STACK_DIR/run/$name.started" || true
  echo "$pid" >"$STACK_DIR/run/$name.pid"
}

# A daemon that kept the caller's pipe open would make `x=$(stack start)` and `make` wait for ever.
close_inherited_descriptors() {
  local path descriptor
  for path in /proc/"$BASHPID"/fd/*; do
    descriptor=${path##*/}
    if ((descriptor > 2 && descriptor < 255)); then # 255: bash's own, closed by exec
      eval "exec $descriptor>&-"
    fi
  done
}

# In clock ticks since boot (field 22 of /proc/PID/stat). Fails for a dead process, also for
# a zombie: in a container nobody may collect those. But a killed process looks like one
# while its other threads (field 20) are still dying, and hold its port and files till then.
process_start_time() {
  local stat fields
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra fields <<<"${stat##*) }" # the name before it may hold spaces and brackets
  [[ ${fields[0]} != [ZX] || ${fields[17]} -gt 1 ]] || return 1
  echo "${fields[19]}"
}

running_pid() {
  local pid started now
  { read -r pid <"$STACK_DIR/run/$1.pid" && read -r started <"$STACK_DIR/run/$1.started"; } 2>/dev/null || return 1
  now=$(process_start_time "$pid") || return 1
  [[ $now == "$started" ]] || return 1
  echo "$pid"
}

is_running() { running_pid "$1" >/dev/null; }

# wait_until NAME SECONDS COMMAND...: until COMMAND succeeds; fails when NAME dies or time is up.
wait_until() {
  local name=$1 seconds=$2 deadline
  shift 2
  deadline=$(($(now_ms) + seconds * 1000))
  until "$@"; do
    is_running "$name" || fail_with_log "$name" "stopped by itself"
    (($(now_ms) < deadline)) ||
      fail_with_log "$name" "runs, but was not ready after $seconds s"
    sleep 0.1
  done
}

fail_with_log() {
  local name=$1 log=$STACK_DIR/log/$1.log from lines
  from=$(cat "$STACK_DIR/run/$name.log-start" 2>/dev/null || echo 0)
  lines=$(tail -c "+$((from + 1))" "$log" | tail -n 20 | sed 's/^/    /')
  printf '%s: %s. The end of %s:\n%s\n' \
    "$name" "$2" "$(display_path "$log")" "${lines:-    (it wrote nothing)}" >&2
  exit 1
}

stop_one() {
  local name=$1 pid begun note=
  begun=$(now_ms)
  if ! pid=$(running_pid "$name"); then
    printf '%-10s not running\n' "$name"
    return
  fi
  kill -TERM "$pid" 2>/dev/null || true
  while is_running "$name"; do
    if (($(now_ms) - begun >= 20000)); then
      note=", with SIGKILL: it ignored SIGTERM for 20 s"
      kill -KILL "$pid" 2>/dev/null || true
    fi
    sleep 0.05
  done
  rm -f "$STACK_DIR/run/$name.pid"
  printf '%-10s stopped (%s s%s)\n' "$name" "$(seconds_since "$begun")" "$note"
}

kill_one() {
  local name=$1 pid
  if ! pid=$(running_pid "$name"); then
    printf '%-10s not running\n' "$name"
    return
  fi
  kill -KILL "$pid" 2>/dev/null || true
  while is_running "$name"; do sleep 0.02; done
  rm -f "$STACK_DIR/run/$name.pid"
  printf '%-10s killed (pid %s)\n' "$name" "$pid"
}

require_free_ports() {
  local name=$1 port
  ! is_running "$name" || return 0
  for port in $("${name}_ports"); do
    # Asked again at the end: it may be NAME itself, just started by another call.
    ! port_answers "${!port}" || is_running "$name" ||
      die "$name: port ${!port} is taken by another program$(port_holder "${!port}"). Stop that, or choose another port: $port=..."
  done
}

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

port_holder() {
  local users
  users=$(ss -ltnpH "sport = :$1" 2>/dev/null | sed -n 's/.*users:((\(.*\)))$/\1/p') || true
  echo "${users:+ ($users)}"
}

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

seconds_since() {
  local tenths=$((($(now_ms) - $1 + 50) / 100))
  echo "$((tenths / 10)).$((tenths % 10))"
}

# shellcheck shell=bash
# Downloads: each server once, into a folder of its own under STACK_SERVERS.

# fetch_into FOLDER WHAT FUNCTION: FUNCTION WORK fills WORK/out, which then becomes FOLDER.
# A folder that exists is complete: it appears by one rename.
fetch_into() {
  local folder=$STACK_SERVERS/$1 what=$2 function=$3 work log lock pid begun=$SECONDS
  [[ ! -d $folder ]] || return 0
  mkdir -p "$STACK_SERVERS"
  exec {lock}>"$folder.lock"
  flock -n "$lock" || { echo "$what: another call is fetching it, waiting" && flock "$lock"; }
  if [[ -d $folder ]]; then
    exec {lock}>&-
    return 0
  fi

  rm -rf "$folder".fetching.* # of a call that was interrupted
  work=$(mktemp -d "$folder.fetching.XXXXXX")
  log=$work/log
  "$function" "$work" >"$log" 2>&1 &
  pid=$!
  printf '%s: fetching ' "$what"
  while kill -0 "$pid" 2>/dev/null; do
    printf '.'
    sleep 1
  done
  if wait "$pid"; then
    mv "$work/out" "$folder"
    echo " done in $((SECONDS - begun)) s"
    rm -rf "$work"
    exec {lock}>&-
    return 0
  fi
  echo " failed"
  tail -n 20 "$log" | sed 's/^/    /' >&2
  rm -rf "$work"
  exec {lock}>&-
  return 1
}

# need PROGRAM PACKAGE: installs the Debian package if PROGRAM is missing and we may.
need() {
  command -v "$1" >/dev/null || install_package "$1" "$2"
}

need_pip() {
  need python3 python3
  python3 -m pip --version >/dev/null 2>&1 || install_package pip python3-pip
}

install_package() {
  if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    echo "$1 is missing: installing the package $2"
    if { apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
      apt-get -qq install -y --no-install-recommends "$2"; } >/dev/null; then
      return
    fi
  fi
  die "the program '$1' is missing. On Debian and its relatives: apt-get install -y $2"
}

# unpack_packages WORK SOURCES PACKAGE...: Debian packages and all that they need, into
# WORK/out, nothing of the machine changes and no root is needed. SOURCES is a sources.list,
# or '' for the machine's own. Bringing even libc along lets sid's MySQL run on any Debian.
unpack_packages() {
  local work=$1 sources=$2 package
  shift 2
  { command -v apt-get && command -v dpkg; } >/dev/null ||
    { echo "This needs apt-get and dpkg (Debian, Ubuntu). Elsewhere: docker compose up" && return 1; }
  local options=(
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache"
    -o "Dir::State::status=$work/status" # empty, as if nothing were installed: every dependency comes
    -o APT::Sandbox::User=root -o APT::Install-Recommends=false
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
  )
  [[ -z $sources ]] || options+=(-o "Dir::Etc::sourcelist=$sources" -o Dir::Etc::sourceparts=/dev/null)
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/out" || return
  : >"$work/status"
  apt-get -q "${options[@]}" update || return
  apt-get -q "${options[@]}" install -y --download-only "$@" || return
  for package in "$work"/cache/archives/*.deb; do
    dpkg -x "$package" "$work/out" || return
  done
  rm -rf "$work"/out/usr/share/{doc,man,perl}
}

# Where this machine gets its Debian packages from, asked of apt: no host name stands in our files.
debian_archive() {
  # shellcheck disable=SC2016 # the dollar is apt's
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sed '/security/d' | sed -n 1p
}

# shellcheck shell=bash
# MySQL 9, or MariaDB where MySQL cannot be had. Both come as Debian packages that are
# unpacked, not installed, and run with the C library that they bring along.

mysql_fetch() {
  case $STACK_MYSQL in
    mysql) fetch_into mysql "mysql 9 (63 MB)" mysql_download || exit 1 ;;
    mariadb) fetch_into mariadb "mariadb (17 MB)" mariadb_download || exit 1 ;;
    *)
      [[ ! -d $STACK_SERVERS/$(mysql_flavour) ]] || return 0
      fetch_into mysql "mysql 9 (63 MB)" mysql_download && return
      echo "mysql: taking mariadb instead"
      fetch_into mariadb "mariadb (17 MB)" mariadb_download || exit 1
      ;;
  esac
}

# Debian itself has MySQL only in its unstable suite, sid.
mysql_download() {
  local sources=$1/sources.list keyring options=
  for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
    [[ ! -e $keyring ]] || options="[signed-by=$keyring] "
  done
  echo "deb $options$(debian_archive) sid main" >"$sources"
  unpack_packages "$1" "$sources" mysql-server-core mysql-client-core || return
  "$(mysql_loader "$1/out")" --library-path "$(mysql_libraries "$1/out")" "$1/out/usr/sbin/mysqld" --version
}

mariadb_download() {
  unpack_packages "$1" '' mariadb-server-core mariadb-client-core || return
  "$(mysql_loader "$1/out")" --library-path "$(mysql_libraries "$1/out")" "$1/out/usr/sbin/mariadbd" --version
}

# Which of the two: the one that made the data, else the one asked for, else the one we have.
mysql_flavour() {
  local data=$STACK_DIR/data/mysql made_by=
  if [[ -e $data/mysql.ibd ]]; then
    made_by=mysql
  elif [[ -e $data/aria_log_control ]]; then
    made_by=mariadb
  fi
  [[ -z $made_by || -z $STACK_MYSQL || $made_by == "$STACK_MYSQL" ]] ||
    die "mysql: the data was made by $made_by, which $STACK_MYSQL cannot read. First: deploy/local/stack wipe mysql"
  local flavour=${made_by:-$STACK_MYSQL}
  if [[ -z $flavour && ! -d $STACK_SERVERS/mysql && -d $STACK_SERVERS/mariadb ]]; then
    flavour=mariadb
  fi
  echo "${flavour:-mysql}"
}

# The program loader and libraries in an unpacked folder; Debian 12 and sid lay them out differently.
mysql_loader() {
  local candidates=("$1"/{usr/,}lib/*-linux-gnu*/ld-linux*.so.*)
  local path
  for path in "${candidates[@]}"; do
    [[ ! -e $path ]] || { echo "$path" && return; }
  done
}

mysql_libraries() {
  local folders
  folders=$(printf '%s:' "$1"/{usr/,}lib/*-linux-gnu* "$1/usr/lib/mysql/private")
  echo "${folders%:}"
}

# mysql_program NAME ARGUMENTS...: a program of the unpacked folder; NAME as MySQL calls it.
mysql_program() (
  # The client reads these itself, above all in a shell that has `source`d an env file.
  unset MYSQL_HOST MYSQL_TCP_PORT MYSQL_UNIX_PORT
  mysql_command "$1"
  "${MYSQL_COMMAND[@]}" "${@:2}"
)

mysql_command() {
  local flavour home program
  flavour=$(mysql_flavour)
  home=$STACK_SERVERS/$flavour
  case $flavour.$1 in
    mysql.mysqld) program=usr/sbin/mysqld ;;
    mysql.mysql) program=usr/bin/mysql ;;
    mariadb.mysqld) program=usr/sbin/mariadbd ;;
    mariadb.mysql) program=usr/bin/mariadb ;;
  esac
  MYSQL_COMMAND=("$(mysql_loader "$home")" --library-path "$(mysql_libraries "$home")" "$home/$program" --no-defaults)
}

mysql_ports() { echo MYSQL_PORT; }
mysql_where() { echo "127.0.0.1:$MYSQL_PORT"; }

mysql_launch() {
  local data=$STACK_DIR/data/mysql socket flavour home
  flavour=$(mysql_flavour)
  home=$STACK_SERVERS/$flavour
  socket=$(mysql_socket)
  mysql_account "$home"
  mysql_common=(
    --basedir="$home/usr" --lc-messages-dir="$home/usr/share/mysql"
    --plugin-dir="$home/usr/lib/mysql/plugin" "${MYSQL_AS_USER[@]}"
  )
  if [[ ! -d $data ]]; then
    "mysql_initialize_$flavour" >>"$STACK_DIR/log/mysql.log" 2>&1 ||
      fail_with_log mysql "could not create its system tables"
    mv "$data.new" "$data"
  fi
  mysql_init_file
  [[ $socket == "$data"/* ]] || mysql_give "$(dirname "$socket")"
  # Left by a crash: their pid may by now belong to another process, and mysqld would refuse to start.
  rm -f "$socket" "$socket.lock" "$data/mysqld.pid"

  mysql_command mysqld
  local options=(
    "${mysql_common[@]}" --datadir="$data"
    --port="$MYSQL_PORT" --bind-address=127.0.0.1 --socket="$socket" --pid-file="$data/mysqld.pid"
    --init-file="$STACK_DIR/run/mysql.init.sql"
    --skip-name-resolve # so root@localhost means the socket only, not TCP
    --character-set-server=utf8mb4 --default-time-zone=+00:00
    --innodb-flush-log-at-trx-commit=1 # a commit survives a crash: the tests rely on it
    --skip-log-bin # nobody replicates from it, and it would write each transaction twice
    --innodb-buffer-pool-size="$MYSQL_BUFFER_POOL" --max-connections=300
  )
  # A second port, and a folder of the machine's, that only MySQL knows.
  [[ $flavour != mysql ]] || options+=(--mysqlx=OFF --secure-file-priv=NULL)
  # For tests of what a server does that has too little of something. Not remembered.
  local more
  read -ra more <<<"${STACK_MYSQL_OPTIONS:-}"
  options+=("${more[@]}")
  launch mysql "${MYSQL_COMMAND[@]}" "${options[@]}"
}

# The new folder gets its name only when complete (in mysql_launch).
mysql_initialize_mysql() {
  mysql_new_folder || return
  local more
  read -ra more <<<"${STACK_MYSQL_OPTIONS:-}"
  mysql_program mysqld "${mysql_common[@]}" "${more[@]}" --datadir="$STACK_DIR/data/mysql.new" --initialize-insecure
}

# What its mariadb-install-db does; that script itself would look for programs of the machine.
mysql_initialize_mariadb() {
  local sql=$STACK_SERVERS/mariadb/usr/share/mysql
  mysql_new_folder || return
  {
    printf '%s\n' "CREATE DATABASE mysql;" "USE mysql;" "SET @auth_root_socket = NULL;"
    cat "$sql"/{mysql_system_tables,mysql_performance_tables,mysql_system_tables_data,maria_add_gis_sp_bootstrap,mysql_sys_schema}.sql
    # Accounts without a password that MySQL would not make: nobody@localhost, root over TCP.
    echo "DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');"
  } | mysql_program mysqld "${mysql_common[@]}" --datadir="$STACK_DIR/data/mysql.new" --bootstrap \
    --max-allowed-packet=8M --enforce-storage-engine=
}

mysql_new_folder() {
  local folder=$STACK_DIR/data/mysql.new
  rm -rf "$folder" && mkdir -m 750 "$folder" && mysql_give "$folder"
}

# mysqld refuses to run as root unless told to, so as root take an account without rights,
# if that can reach our folders: below /root, for one, it cannot.
mysql_account() {
  MYSQL_AS_USER=()
  [[ $EUID -eq 0 ]] || return 0
  local account=nobody
  ! id mysql >/dev/null 2>&1 || account=mysql
  if ! setpriv --reuid="$account" --regid="$(id -g "$account")" --clear-groups \
    test -x "$STACK_DIR/data" -a -r "$1/usr/share/mysql" 2>/dev/null; then
    echo "mysql: the account $account cannot reach $STACK_DIR or $STACK_SERVERS, so MySQL runs as root. Where that matters, set both to folders that it can reach."
    account=root
  fi
  MYSQL_AS_USER=(--user="$account")
  MYSQL_ACCOUNT=$account
}

mysql_give() { [[ $EUID -ne 0 ]] || chown -R "$MYSQL_ACCOUNT" "$1"; }

# Runs at each start before the first client is let in, so a changed password needs only a restart.
mysql_init_file() {
  local file=$STACK_DIR/run/mysql.init.sql
  write_atomically "$file" <<SQL
CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\` CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';
ALTER USER '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';
GRANT ALL ON \`$MYSQL_DATABASE%\`.* TO '$MYSQL_USER'@'%';
SQL
  mysql_give "$file"
}

# root@localhost has no password and comes in by this socket alone. The kernel allows a
# socket's path 107 bytes, and `source env` no space in it: such a STACK_DIR gets a folder in /tmp.
mysql_socket() {
  local socket=$STACK_DIR/data/mysql/s.sock note=$STACK_DIR/run/mysql.socket-folder
  if [[ ${#socket} -gt 100 || ! $socket =~ $PLAIN_VALUE ]]; then
    if [[ ! -d $(cat "$note" 2>/dev/null) ]]; then
      mktemp -d "/tmp/stack-mysql.XXXXXX" >"$note"
      chmod 711 "$(<"$note")"
    fi
    socket=$(<"$note")/s.sock
  fi
  echo "$socket"
}

forget_socket_folder() {
  local note=$STACK_DIR/run/$1.socket-folder
  [[ ! -e $note ]] || rm -rf "$(<"$note")"
}

mysql_wait() { wait_until mysql 60 mysql_lets_us_in; }

mysql_lets_us_in() {
  local answer
  port_answers "$MYSQL_PORT" || return
  answer=$(MYSQL_PWD=$MYSQL_PASSWORD mysql_program mysql --protocol=tcp --host=127.0.0.1 --port="$MYSQL_PORT" \
    --user="$MYSQL_USER" --execute="SELECT 1" "$MYSQL_DATABASE" 2>&1) && return
  # The account is made before the port opens, so this is final.
  [[ $answer != *"Access denied"* ]] ||
    die "mysql: it was started with another account or password than $MYSQL_USER's now; run: deploy/local/stack restart mysql"
  return 1
}

mysql_as_root() {
  unset MYSQL_PWD # root has none
  # Else MySQL's client refuses \G, \. and the like; MariaDB's always takes them.
  local commands=()
  [[ $(mysql_flavour) != mysql ]] || commands=(--commands)
  mysql_program mysql "${commands[@]}" --protocol=socket --socket="$(mysql_socket)" --user=root \
    --default-character-set=utf8mb4 --database="$MYSQL_DATABASE" "$@"
}

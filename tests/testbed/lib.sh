# Sourced by every script of the testbed: where a system keeps its state, and how it is
# installed once, started, awaited and stopped.
#
# Not a process supervisor: a system is one or two processes, each with a pid file, and only
# what a pid file names (pid and start time, so that a reused pid is never mistaken) is stopped.

TESTBED=${TESTBED:-$HOME/.cache/millrace/testbed}
testbed_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd) # the folder of the script that sources this
home=$TESTBED/$(basename "$here")                  # what is installed for that system
state=$home                                        # its pid files, logs and data; start.sh may move it

# The start time of a process in clock ticks since boot (field 22; the name in field 2 may hold spaces).
started_at() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# running NAME: whether the process that launch started under this name still lives.
running() {
  local pid started
  read -r pid started 2>/dev/null <"$state/$1.pid" && [ -n "$started" ] && [ "$(started_at "$pid")" = "$started" ]
}

pid_of() { cut -d' ' -f1 "$state/$1.pid"; }

# launch NAME CMD...: in a session of its own, with a log and a pid file under $state. File
# descriptor 9, which the scripts use for locks, is not inherited.
launch() {
  local name=$1 pid
  shift
  mkdir -p "$state"
  setsid nohup "$@" >"$state/$name.log" 2>&1 </dev/null 9>&- &
  pid=$!
  echo "$pid $(started_at "$pid")" >"$state/$name.pid"
}

# await NAME SECONDS CMD...: until CMD succeeds. Shows the end of the log where the process died
# or the time ran out.
await() {
  local name=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! running "$name" || [ $SECONDS -ge $deadline ]; then
      echo "$name did not start; the end of $state/$name.log:" >&2
      tail -n 20 "$state/$name.log" >&2
      return 1
    fi
    sleep 0.1
  done
}

# listens PORT: whether somebody does.
listens() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port PORT: fails, saying what to do, where something that the testbed did not start listens.
free_port() {
  if listens "$1"; then
    echo "port $1 is taken by a process that the testbed did not start; stop it or set ${2:-another port}" >&2
    return 1
  fi
}

# halt NAME...: SIGTERM to all at once, and SIGKILL to those left after ${halt_seconds:-30} seconds.
halt() {
  local name deadline=$((SECONDS + ${halt_seconds:-30}))
  for name in "$@"; do
    ! running "$name" || kill "$(pid_of "$name")" 2>/dev/null || true
  done
  for name in "$@"; do
    while running "$name"; do
      [ $SECONDS -lt $deadline ] || kill -9 "$(pid_of "$name")" 2>/dev/null || true
      sleep 0.1
    done
    rm -f "$state/$name.pid"
  done
}

# slay NAME: SIGKILL, and waits until it is gone.
slay() {
  kill -9 "$(pid_of "$1")"
  while running "$1"; do sleep 0.05; done
  rm -f "$state/$1.pid"
}

# locked: holds the system's lock until the script ends, so that two callers don't install or
# start it at once.
locked() {
  mkdir -p "$home"
  exec 9>"$home/.lock"
  flock 9
}

# while_used CHECK STOP START... : what a run.sh does around its command. A system that CHECK finds running stays; one that
# was started here, by START, is stopped by the last run.sh that uses it, by STOP. Leaves the lock's descriptor in $users,
# which neither the system nor the command may inherit.
while_used() {
  local check=$1
  stop_command=$2
  shift 2
  mkdir -p "$state"
  # Each user holds the lock shared while its command runs, so whoever gets it alone is the last.
  exec {users}>"$state/.users"
  flock --shared "$users"
  trap stop_if_last EXIT
  if ! $check; then
    "$@" {users}>&-
    touch "$state/.started-by-run"
  fi
}

stop_if_last() {
  flock --exclusive --nonblock "$users" || return 0
  [ ! -f "$state/.started-by-run" ] || $stop_command
}

# install_once GROUP COMMAND: runs COMMAND, which needs a group of the system's packages, unless it ran
# before with the same versions, that is, with the same install.sh (and pom.xml, where there is one).
install_once() {
  local wanted files=("$here/install.sh")
  [ ! -f "$here/pom.xml" ] || files+=("$here/pom.xml")
  wanted=$(cat "${files[@]}" | sha256sum)
  [ "$(cat "$home/.installed" 2>/dev/null)" = "$wanted" ] && return
  "$testbed_dir/system.sh" "$1"
  shift
  "$@"
  echo "$wanted" >"$home/.installed"
}


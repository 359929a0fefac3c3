# What the scripts beside this one share. A script that sources it has a folder of its
# own, $folder, and ends with it: all that it started is ended by its process id.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
connections=${CONNECTIONS:-32}
seconds=${SECONDS_EACH:-10}
rounds=${ROUNDS:-3}

folder=$(mktemp -d)
chmod 755 "$folder" # nginx's workers are nobody
started=()
finish() {
  for pid in ${started[@]+"${started[@]}"}; do kill "$pid" 2>/dev/null || true; done
  for pid in ${started[@]+"${started[@]}"}; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# need COMMAND[:PACKAGE]... installs what is missing from Debian's packages.
need() { "$here/../../.ci/need" "$@"; }

# listening PORT says whether something accepts connections there.
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port NAME sets the variable NAME to a port on which nothing listens.
last_port=18180
free_port() {
  while last_port=$((last_port + 1)); listening "$last_port"; do :; done
  printf -v "$1" %s "$last_port"
}

# begin PORT COMMAND... starts a server, and waits until it accepts connections there.
# $pid is its process.
begin() {
  local port=$1
  shift
  "$@" &
  pid=$!
  started+=("$pid")
  for _ in $(seq 200); do
    listening "$port" && return
    sleep 0.05
  done
  echo "not within 10 s on port $port: $*" >&2
  return 1
}

# nginx_with NAME TEXT writes a configuration with TEXT within http {}, and prints its path.
nginx_with() {
  cat >"$folder/$1.conf" <<CONF
daemon off;
worker_processes $(nproc);
pid $folder/$1.pid;
error_log stderr crit;
events { worker_connections 12000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path $folder/$1-body;
  proxy_temp_path $folder/$1-proxy;
  fastcgi_temp_path $folder/$1-fastcgi;
  uwsgi_temp_path $folder/$1-uwsgi;
  scgi_temp_path $folder/$1-scgi;
  $2
}
CONF
  printf %s "$folder/$1.conf"
}

# begin_nginx PORT CONFIGURATION starts nginx.
begin_nginx() { begin "$1" nginx -e stderr -p "$folder" -c "$2"; }

# begin_backend starts the server behind the proxy, which answers at once with 3 bytes.
# $backend is its port.
begin_backend() {
  free_port backend
  begin_nginx "$backend" "$(nginx_with backend "server { listen 127.0.0.1:$backend backlog=4096; location / { return 200 \"ok\\n\"; } }")"
}

# ticks PID prints the processor time of a process and its children, in hundredths of a second.
ticks() {
  local sum=0 part fields
  for part in "$1" $(pgrep -P "$1" || true); do
    fields=($(sed 's/.*) //' "/proc/$part/stat"))
    sum=$((sum + fields[11] + fields[12]))
  done
  echo "$sum"
}

# carry NAME PORT PID loads a proxy, and prints what it carried in each round.
carry() {
  local round before after report requests
  for round in $(seq "$rounds"); do
    before=$(ticks "$3")
    report=$(wrk --threads 2 --connections "$connections" --duration "${seconds}s" --latency "http://127.0.0.1:$2/")
    after=$(ticks "$3")
    if grep -E 'Socket errors|Non-2xx' <<<"$report" >&2; then return 1; fi
    requests=$(sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' <<<"$report")
    printf '%s, %d connections: %s requests/s, p50 %s, p99 %s, %s µs of CPU each\n' "$1" "$connections" \
      "$(sed -n 's/^Requests\/sec: *//p' <<<"$report")" \
      "$(sed -n 's/^ *50% *//p' <<<"$report")" "$(sed -n 's/^ *99% *//p' <<<"$report")" \
      "$(awk -v t=$((after - before)) -v n="$requests" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f", t / hz / n * 1e6 }')"
  done
}

#!/usr/bin/env bash
# What Debian's HAProxy carries in front of a backend that answers at once: as a proxy of
# HTTP, and as a relay of connections. CONNECTIONS (32), SECONDS_EACH (10) and ROUNDS (3)
# change how it is loaded.
. "$(dirname "$0")/lib.sh"
need haproxy nginx wrk

# begin_haproxy MODE OPTIONS starts HAProxy on $port.
begin_haproxy() {
  cat >"$folder/$1.cfg" <<CONF
global
  nbthread $(nproc)
  maxconn 12000
  no strict-limits
defaults
  mode $1
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  $2
frontend in
  bind 127.0.0.1:$port
  default_backend out
backend out
  server backend 127.0.0.1:$backend
CONF
  begin "$port" haproxy -db -q -f "$folder/$1.cfg"
}

begin_backend
free_port port
begin_haproxy http "option forwardfor
  http-reuse always"
carry 'HAProxy, mode http' "$port" "$pid"
free_port port
begin_haproxy tcp 'option splice-auto'
carry 'HAProxy, mode tcp' "$port" "$pid"

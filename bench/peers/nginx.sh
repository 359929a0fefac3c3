#!/usr/bin/env bash
# What Debian's nginx carries as a proxy with a worker for each core, in front of a
# backend that answers at once. CONNECTIONS (32), SECONDS_EACH (10) and ROUNDS (3) change
# how it is loaded.
. "$(dirname "$0")/lib.sh"
need nginx wrk

begin_backend
free_port port
begin_nginx "$port" "$(nginx_with proxy "upstream backend { server 127.0.0.1:$backend; keepalive 512; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:$port backlog=4096;
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host \$host;
      proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
    }
  }")"
carry nginx "$port" "$pid"

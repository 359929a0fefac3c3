package rival

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
)

// connectionsMax is how many connections a proxy may have, those to the backend included.
const connectionsMax = 12_000

// haproxyConfig has no master process, so that the one process is all of it.
func haproxyConfig(p plan) string {
	return fmt.Sprintf(`global
  nbthread %d
  maxconn %d
  no strict-limits
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 30s
  option forwardfor
  http-reuse always
frontend in
  bind %s
  default_backend out
backend out
  server backend %s
`, runtime.NumCPU(), connectionsMax, p.listen(" proto h2"), p.backend)
}

// haproxyTCPConfig relays connections, large pieces inside the kernel.
func haproxyTCPConfig(p plan) string {
	return fmt.Sprintf(`global
  nbthread %d
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  option splice-auto
frontend in
  bind %s
  default_backend out
backend out
  server backend %s
`, runtime.NumCPU(), p.addr(), p.backend)
}

func haproxyCommand(_ plan, config string) []string {
	return []string{program("haproxy"), "-db", "-q", "-f", config}
}

// nginxConfig returns a configuration with one site. All files of nginx are in
// the plan's folder.
func nginxConfig(site func(plan) string) func(plan) string {
	return func(p plan) string {
		return fmt.Sprintf(`daemon off;
worker_processes %d;
pid %[2]s.pid;
error_log stderr crit;
events { worker_connections %[4]d; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path %[2]s-body;
  proxy_temp_path %[2]s-proxy;
  fastcgi_temp_path %[2]s-fastcgi;
  uwsgi_temp_path %[2]s-uwsgi;
  scgi_temp_path %[2]s-scgi;
%[3]s}
`, runtime.NumCPU(), p.folder+"/"+p.name, site(p), connectionsMax)
	}
}

func nginxCommand(p plan, config string) []string {
	return []string{program("nginx"), "-e", "stderr", "-p", p.folder, "-c", config}
}

// BulkPath is where the backend answers with BulkSize bytes.
const (
	BulkPath = "/bulk"
	BulkSize = 1 << 20
)

// LongPath is where the backend answers with 64 KiB from memory.
const LongPath = "/64k"

func backendSite(p plan) string {
	return fmt.Sprintf(`  server {
    listen %s backlog=4096;
    location / { return 200 "ok\n"; }
    location = %s { root %s; }
    location = %s { set $kib "%s"; return 200 "%s"; }
  }
`, p.addr(), BulkPath, p.folder, LongPath, strings.Repeat("x", 1<<10), strings.Repeat("${kib}", 64))
}

func proxySite(p plan) string {
	return fmt.Sprintf(`  upstream backend { server %s; keepalive 512; keepalive_requests 1000000000; }
  server {
    listen %s backlog=4096;
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      %s
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }
  }
`, p.backend, p.listen(" http2"), map[bool]string{
		false: `proxy_set_header Connection "";`,
		true:  `proxy_set_header Connection "upgrade"; proxy_set_header Upgrade $http_upgrade;`,
	}[p.upgrades])
}

// program returns where Debian has a server program: in a folder that is not on
// every user's path.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return "/usr/sbin/" + name
}

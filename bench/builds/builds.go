// Package builds makes releases of the hello example for a bench to deploy:
// programs to fetch, and the spec files that name them.
//
// Each version is a build of its own, with a content and a digest of its own, as
// releases in real life have.
package builds

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Service is the name of the service, and Host the one of its route.
const (
	Service = "hello"
	Host    = "hello.localhost"
)

// Release is one version of hello, ready to be deployed.
type Release struct {
	Version string
	program string // path
	digest  string
}

// Build makes the release of a version from the repository at source, with its
// program in folder.
func Build(ctx context.Context, source, folder, version string) (Release, error) {
	program := filepath.Join(folder, "hello-"+version)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", program, "./examples/hello")
	build.Dir = source
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return Release{}, fmt.Errorf("building hello %s: %w\n%s", version, err, output)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return Release{}, err
	}
	return Release{Version: version, program: program, digest: fmt.Sprintf("%x", sha256.Sum256(content))}, nil
}

// Deploy is what a spec file says about the release beside its program. Zero
// fields get the spec's own defaults.
type Deploy struct {
	Instances int
	Arguments []string // of hello, beside its address
	Settle    time.Duration
	Deadline  time.Duration
}

// Spec writes the spec file of a release and returns its path.
func (r Release) Spec(d Deploy) (string, error) {
	command := append([]string{"./hello", "--listen", "127.0.0.1:${PORT_HTTP}"}, d.Arguments...)
	for i, argument := range command {
		command[i] = fmt.Sprintf("%q", argument)
	}
	deploy := []string{"surge: 1", "unavailable: 0", "drain: 10s", "grace: 5s", "failures: 2", "settle: " + d.Settle.String()}
	if d.Deadline > 0 {
		deploy = append(deploy, "deadline: "+d.Deadline.String())
	}
	text := fmt.Sprintf(`service: %s
instances: %d
resources: {cpus: 0.05, mem: 64MiB}
run:
  command: [%s]
  fetch: [{url: "file://%s", sha256: %s, dest: hello, executable: true}]
ports: [http]
ready: {http: /ready, port: http, every: 1s, timeout: 1s}
route: {host: %s, port: http}
deploy: {%s}
`, Service, d.Instances, strings.Join(command, ", "), r.program, r.digest, Host, strings.Join(deploy, ", "))
	file := r.program + ".yaml"
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// Package fetch puts artifacts into a task's sandbox: over http, https or from
// a file, checked against a checksum, kept in a cache, unpacked when asked.
//
// Laws: nothing appears in the sandbox before it is complete and its checksum
// was checked; nothing is written outside of the sandbox, whatever an archive
// says; and no artifact takes more than SizeMax bytes, packed or unpacked.
//
// A Fetcher is safe for concurrent use; one folder has one Fetcher.
package fetch

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/spec"
)

// Errors that callers tell apart.
var (
	ErrTooBig  = errors.New("larger than is allowed")
	ErrEscapes = errors.New("leads out of the sandbox")
	ErrArchive = errors.New("not a sound archive")
)

// ChecksumError says that an artifact is not what was asked for.
type ChecksumError struct {
	URL       string
	Want, Got string // sha256, in lower-case hex
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s has sha256 %s, want %s", e.URL, e.Got, e.Want)
}

// Config is what a Fetcher is made with. Zero fields get their defaults.
type Config struct {
	CacheDir     string        // made when missing; needed
	CacheSizeMax int64         // bytes kept in the cache; default 4 GiB
	SizeMax      int64         // bytes of one artifact, and of what it unpacks to; default 2 GiB
	FilesMax     int           // in one archive; default 100,000
	StallMax     time.Duration // without a byte from the server; default 30s
}

func (c Config) withDefaults() Config {
	if c.CacheSizeMax == 0 {
		c.CacheSizeMax = 4 << 30
	}
	if c.SizeMax == 0 {
		c.SizeMax = 2 << 30
	}
	if c.FilesMax == 0 {
		c.FilesMax = 100_000
	}
	if c.StallMax == 0 {
		c.StallMax = 30 * time.Second
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	if c.CacheDir == "" {
		problems = append(problems, errors.New("a cache needs a folder"))
	}
	if c.CacheSizeMax < 0 || c.SizeMax < 0 || c.FilesMax < 0 || c.StallMax < 0 {
		problems = append(problems, errors.New("the bounds must not be negative"))
	}
	return errors.Join(problems...)
}

// Fetcher fetches artifacts. Make it with New.
type Fetcher struct {
	cfg    Config
	client *http.Client
	cache  *cache
}

// New returns a Fetcher. It makes the cache's folder, and clears away what an
// interrupted one left in it.
func New(cfg Config) (*Fetcher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("fetch config: %w", err)
	}
	kept, err := openCache(cfg.CacheDir, cfg.CacheSizeMax)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ResponseHeaderTimeout: cfg.StallMax,
		TLSHandshakeTimeout:   cfg.StallMax,
		DisableCompression:    true, // the checksum is of the bytes as they are
		DisableKeepAlives:     true, // fetches are rare
	}
	return &Fetcher{cfg: cfg, client: &http.Client{Transport: transport}, cache: kept}, nil
}

// Fetch puts an artifact into a sandbox, an existing folder. Dest names a
// folder for an archive, and for a plain file a file, or a folder when it is
// empty or ends in a slash. What is there already is replaced.
//
// Without a checksum any content is accepted, and nothing is cached. What is
// made belongs to the owner of the sandbox, if this process may give it away.
func (f *Fetcher) Fetch(ctx context.Context, artifact spec.Artifact, sandbox string) error {
	plan, err := understand(artifact)
	if err == nil {
		err = f.carryOut(ctx, plan, sandbox)
	}
	if err != nil {
		return fmt.Errorf("fetch %s: %w", redacted(artifact.URL), err)
	}
	return nil
}

// plan is an artifact, understood.
type plan struct {
	source     *url.URL
	sum        string // sha256 in lower-case hex, or ""
	dest       string // slash-separated path in the sandbox, not climbing
	archive    archive
	executable bool
}

func understand(artifact spec.Artifact) (plan, error) {
	source, err := url.Parse(artifact.URL)
	if err != nil {
		return plan{}, errors.New("not a URL")
	}
	p := plan{source: source, sum: strings.ToLower(artifact.SHA256), executable: artifact.Executable}
	switch source.Scheme {
	case "http", "https", "file":
	default:
		return plan{}, fmt.Errorf("scheme %q: want http, https or file", source.Scheme)
	}
	if sum, err := hex.DecodeString(p.sum); p.sum != "" && (err != nil || len(sum) != 32) {
		return plan{}, fmt.Errorf("sha256 %q: want 64 hex digits", artifact.SHA256)
	}
	if artifact.Unpack {
		if p.archive = archiveOf(source.Path); p.archive == plain {
			return plan{}, fmt.Errorf("%w: want a name that ends in .tar.gz, .tgz, .tar or .zip", ErrArchive)
		}
	}
	p.dest, err = destination(artifact.Dest, source, p.archive)
	return p, err
}

// destination returns where in the sandbox an artifact goes.
func destination(dest string, source *url.URL, kind archive) (string, error) {
	if kind == plain && (dest == "" || strings.HasSuffix(dest, "/")) {
		name := path.Base(source.Path)
		if name == "." || name == "/" {
			return "", errors.New("the URL names no file; say where it goes with dest")
		}
		dest += name
	}
	if dest == "" {
		dest = "."
	}
	if !filepath.IsLocal(filepath.FromSlash(dest)) {
		return "", fmt.Errorf("dest %q: %w", dest, ErrEscapes)
	}
	return path.Clean(dest), nil
}

// carryOut gets the bytes and puts them in place.
func (f *Fetcher) carryOut(ctx context.Context, p plan, sandbox string) error {
	root, err := os.OpenRoot(sandbox)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	defer func() { _ = root.Close() }() // a folder
	content, err := f.content(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // read only
	return install(ctx, f.cfg, p, content, root)
}

// redacted returns a URL without its password, for errors.
func redacted(raw string) string {
	parsed, err := url.Parse(raw)
	if err != nil {
		return fmt.Sprintf("%.100q", raw)
	}
	return parsed.Redacted()
}

package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"
)

// content returns an artifact's bytes, checked. The caller closes the file.
func (f *Fetcher) content(ctx context.Context, p plan) (*os.File, error) {
	if p.sum == "" {
		file, _, err := f.download(ctx, p.source)
		if err == nil {
			_ = os.Remove(file.Name()) // it lives until it is closed; New clears what is left
		}
		return file, err
	}
	release, err := f.cache.claim(ctx, p.sum)
	if err != nil {
		return nil, err
	}
	defer release()
	if file, err := f.cache.open(ctx, p.sum); file != nil || err != nil {
		return file, err
	}
	file, sum, err := f.download(ctx, p.source)
	if err != nil {
		return nil, err
	}
	if sum != p.sum {
		dispose(file)
		return nil, &ChecksumError{URL: p.source.Redacted(), Want: p.sum, Got: sum}
	}
	if err := f.cache.keep(file, sum); err != nil {
		dispose(file)
		return nil, err
	}
	return file, nil
}

// dispose drops a download that is of no use.
func dispose(file *os.File) {
	_ = file.Close()           // nobody will read it
	_ = os.Remove(file.Name()) // New clears what is left
}

// download copies a source to a file of the cache, and returns it at its
// beginning, with its checksum.
func (f *Fetcher) download(ctx context.Context, source *url.URL) (file *os.File, sum string, err error) {
	ctx, stalled := context.WithCancelCause(ctx)
	defer stalled(nil)
	watch := time.AfterFunc(f.cfg.StallMax, func() {
		stalled(fmt.Errorf("no byte came for %v", f.cfg.StallMax))
	})
	defer watch.Stop()
	from, err := f.open(ctx, source)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = from.Close() }() // read only
	file, err = f.cache.create()
	if err != nil {
		return nil, "", err
	}
	hash := sha256.New()
	progress := readerFunc(func(p []byte) (int, error) {
		watch.Reset(f.cfg.StallMax)
		return from.Read(p)
	})
	n, err := io.Copy(io.MultiWriter(file, hash), io.LimitReader(reading(ctx, progress), f.cfg.SizeMax+1))
	if err == nil && n > f.cfg.SizeMax {
		err = fmt.Errorf("%w: more than %d bytes", ErrTooBig, f.cfg.SizeMax)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		dispose(file)
		return nil, "", err
	}
	return file, hex.EncodeToString(hash.Sum(nil)), nil
}

// open begins to read a source.
func (f *Fetcher) open(ctx context.Context, source *url.URL) (io.ReadCloser, error) {
	if source.Scheme == "file" {
		return openFile(source)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, source.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "aloft")
	response, err := f.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, errors.Unwrap(err) // without the URL, which the caller adds
	}
	switch {
	case response.StatusCode != http.StatusOK:
		err = fmt.Errorf("the server says %s", response.Status)
	case response.ContentLength > f.cfg.SizeMax:
		err = fmt.Errorf("%w: %d bytes, at most %d", ErrTooBig, response.ContentLength, f.cfg.SizeMax)
	default:
		return response.Body, nil
	}
	return nil, errors.Join(err, response.Body.Close())
}

// openFile opens a regular file, and never waits for a pipe's other end.
func openFile(source *url.URL) (io.ReadCloser, error) {
	if source.Host != "" && source.Host != "localhost" {
		return nil, fmt.Errorf("host %q: a file URL has three slashes, as in file:///opt/app.tgz", source.Host)
	}
	file, err := os.OpenFile(source.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", source.Path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

type readerFunc func(p []byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }

// reading returns a reader that ends with the context.
func reading(ctx context.Context, from io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return from.Read(p)
	})
}

package fetch

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// archive is how an artifact is packed.
type archive uint8

const (
	plain archive = iota
	tarball
	gzipTarball
	zipped
)

// archiveOf tells by a name how a file is packed.
func archiveOf(name string) archive {
	switch lower := strings.ToLower(name); {
	case strings.HasSuffix(lower, ".tar.gz"), strings.HasSuffix(lower, ".tgz"):
		return gzipTarball
	case strings.HasSuffix(lower, ".tar"):
		return tarball
	case strings.HasSuffix(lower, ".zip"):
		return zipped
	default:
		return plain
	}
}

// directoryEntryMax is, on average, the longest entry of a zip's directory, in
// bytes. The directory is read as a whole, so it has to be bounded.
const directoryEntryMax = 256

// unpack fills the stage with what is in an archive.
func (s *stage) unpack(ctx context.Context, kind archive, content *os.File) error {
	var links []string
	var err error
	switch from := bufio.NewReaderSize(reading(ctx, content), 64<<10); kind {
	case gzipTarball:
		links, err = s.unpackGzip(ctx, from)
	case tarball:
		links, err = s.unpackTar(ctx, from)
	case zipped:
		links, err = s.unpackZip(ctx, content)
	case plain:
	}
	if err == nil {
		err = s.checkLinks(ctx, links)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// unpackGzip reads on to the end, where the sum tells whether all of it is what
// was packed. Something that is not gzip behind it is refused, too: whoever put
// it there meant another file.
func (s *stage) unpackGzip(ctx context.Context, from io.Reader) (links []string, err error) {
	unzipped, err := gzip.NewReader(from)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	// What is skipped between files is bounded too.
	bounded := &io.LimitedReader{R: unzipped, N: s.cfg.SizeMax + int64(s.cfg.FilesMax)*1024}
	if links, err = s.unpackTar(ctx, bounded); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, bounded); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	if bounded.N <= 0 {
		return nil, fmt.Errorf("%w: what is behind its last file", ErrTooBig)
	}
	return links, nil
}

func (s *stage) unpackTar(ctx context.Context, from io.Reader) (links []string, err error) {
	entries := tar.NewReader(from)
	for ctx.Err() == nil {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return links, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrArchive, err)
		}
		name, err := inside(header.Name)
		if err != nil {
			return nil, err
		}
		switch header.Typeflag {
		case tar.TypeDir:
			err = s.folder(name)
		case tar.TypeReg:
			err = s.write(name, sane(header.FileInfo().Mode()), entries)
		case tar.TypeSymlink:
			links = append(links, name)
			err = s.symlink(header.Linkname, name)
		case tar.TypeLink:
			err = s.link(header.Linkname, name)
		case tar.TypeXGlobalHeader:
		default:
			err = fmt.Errorf("%w: %s is neither file, folder nor link", ErrArchive, header.Name)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, context.Cause(ctx)
}

func (s *stage) unpackZip(ctx context.Context, content *os.File) (links []string, err error) {
	info, err := content.Stat()
	if err != nil {
		return nil, err
	}
	metered := &meter{from: content, left: 1<<20 + int64(s.cfg.FilesMax)*directoryEntryMax}
	entries, err := zip.NewReader(metered, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	metered.open = true
	for _, entry := range entries.File {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		name, err := inside(entry.Name)
		if err != nil {
			return nil, err
		}
		switch mode := entry.Mode(); {
		case mode.IsDir():
			err = s.folder(name)
		case mode.IsRegular():
			err = s.writeEntry(ctx, entry, name)
		case mode.Type() == fs.ModeSymlink:
			links = append(links, name)
			err = s.symlinkEntry(entry, name)
		default:
			err = fmt.Errorf("%w: %s is neither file, folder nor link", ErrArchive, entry.Name)
		}
		if err != nil {
			return nil, err
		}
	}
	return links, nil
}

func (s *stage) writeEntry(ctx context.Context, entry *zip.File, name string) error {
	content, err := entry.Open()
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrArchive, name, err)
	}
	defer func() { _ = content.Close() }() // read only
	return s.write(name, sane(entry.Mode()), reading(ctx, content))
}

// symlinkEntry makes a link of a zip, whose content is where it leads.
func (s *stage) symlinkEntry(entry *zip.File, name string) error {
	content, err := entry.Open()
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrArchive, name, err)
	}
	defer func() { _ = content.Close() }() // read only
	target, err := io.ReadAll(io.LimitReader(content, 4096))
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrArchive, name, err)
	}
	return s.symlink(string(target), name)
}

// symlink makes a symbolic link that leads to a place in the archive.
func (s *stage) symlink(target, name string) error {
	if path.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(name), target)) {
		return fmt.Errorf("link %s to %s: %w", name, target, ErrEscapes)
	}
	if err := s.room(name); err != nil {
		return err
	}
	if err := s.root.Symlink(target, name); err != nil {
		return escapes(err)
	}
	return s.give(s.root, name)
}

// link makes a second name for a file of the archive.
func (s *stage) link(target, name string) error {
	target, err := inside(target)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := s.room(name); err != nil {
		return err
	}
	if info, err := s.root.Lstat(target); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%w: link %s to %s, which is no file before it", ErrArchive, name, target)
	}
	return escapes(s.root.Link(target, name))
}

// checkLinks follows every symbolic link, now that all are there: one that
// looked harmless by itself may lead out over another.
func (s *stage) checkLinks(ctx context.Context, links []string) error {
	for _, name := range links {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := escapes(statError(s.root, name))
		if errors.Is(err, ErrEscapes) {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	return nil
}

func statError(root *os.Root, name string) error {
	_, err := root.Stat(name)
	return err
}

// inside returns a clean form of an archive's name for a file, if that stays in
// its folder.
func inside(name string) (string, error) {
	if len(name) > nameMax {
		return "", fmt.Errorf("%w: a name of %d bytes; at most %d", ErrTooBig, len(name), nameMax)
	}
	if path.IsAbs(name) || !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", fmt.Errorf("%q: %w", name, ErrEscapes)
	}
	clean := path.Clean(name)
	if depth := strings.Count(clean, "/"); depth > depthMax {
		return "", fmt.Errorf("%w: a file in %d folders, one in the other; at most %d", ErrTooBig, depth, depthMax)
	}
	return clean, nil
}

// depthMax bounds how deep an archive's folders lie: each is looked at anew for
// every file in it.
const depthMax = 100

// nameMax is the longest name of a file with its folders, in bytes: no program
// could open a longer one.
const nameMax = 4095

// sane returns a mode without special bits, with which the owner can read and
// write.
func sane(mode fs.FileMode) fs.FileMode { return mode.Perm() | 0o600 }

// meter bounds what is read until it is opened.
type meter struct {
	from io.ReaderAt
	left int64
	open bool
}

func (m *meter) ReadAt(p []byte, at int64) (int, error) {
	if m.open {
		return m.from.ReadAt(p, at)
	}
	if m.left -= int64(len(p)); m.left < 0 {
		return 0, fmt.Errorf("%w: its directory", ErrTooBig)
	}
	return m.from.ReadAt(p, at)
}

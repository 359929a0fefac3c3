package fetch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// stage is a hidden folder in a sandbox, in which an artifact grows until it is
// complete. It cannot be left: all is done below an os.Root.
type stage struct {
	cfg   Config
	name  string // in the sandbox
	root  *os.Root
	owner *syscall.Stat_t // of the sandbox; nil when files cannot be given away
	left  int64           // bytes that may still be written
	files int             // made so far
}

// install puts an artifact into a sandbox: first on a stage, then in place.
func install(ctx context.Context, cfg Config, p plan, content *os.File, sandbox *os.Root) error {
	s, err := openStage(cfg, sandbox)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	defer s.close(sandbox)
	if p.archive == plain {
		mode := fs.FileMode(0o644)
		if p.executable {
			mode = 0o755
		}
		if err := s.write(path.Base(p.dest), mode, reading(ctx, content)); err != nil {
			return err
		}
		return merge(sandbox, path.Join(s.name, path.Base(p.dest)), p.dest)
	}
	if err := s.unpack(ctx, p.archive, content); err != nil {
		return err
	}
	if err := sandbox.MkdirAll(p.dest, 0o755); err != nil {
		return fmt.Errorf("dest %q: %w", p.dest, escapes(err))
	}
	if err := s.give(sandbox, p.dest); err != nil {
		return err
	}
	return mergeFolder(sandbox, s.name, p.dest)
}

func openStage(cfg Config, sandbox *os.Root) (*stage, error) {
	s := &stage{cfg: cfg, name: ".aloft-fetch-" + rand.Text(), left: cfg.SizeMax}
	info, err := sandbox.Stat(".")
	if err != nil {
		return nil, err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
		s.owner = owner
	}
	if err := sandbox.Mkdir(s.name, 0o700); err != nil {
		return nil, err
	}
	s.root, err = sandbox.OpenRoot(s.name)
	if err != nil {
		return nil, errors.Join(err, sandbox.Remove(s.name))
	}
	return s, nil
}

func (s *stage) close(sandbox *os.Root) {
	_ = s.root.Close()            // a folder
	_ = sandbox.RemoveAll(s.name) // hidden, and of no use to anybody
}

// write makes a file with its folders.
func (s *stage) write(name string, mode fs.FileMode, content io.Reader) error {
	if err := s.room(name); err != nil {
		return err
	}
	file, err := s.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return escapes(err)
	}
	n, err := io.Copy(file, io.LimitReader(content, s.left+1))
	if s.left -= n; err == nil && s.left < 0 {
		err = fmt.Errorf("%w: it unpacks to more than %d bytes", ErrTooBig, s.cfg.SizeMax)
	}
	if err == nil {
		err = file.Chmod(mode)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return s.give(s.root, name)
}

// room counts one more entry and makes way for it: its folders are there, and
// nothing else is in its place, as an archive may hold a name twice.
func (s *stage) room(name string) error {
	if s.files++; s.files > s.cfg.FilesMax {
		return fmt.Errorf("%w: more than %d files", ErrTooBig, s.cfg.FilesMax)
	}
	if err := s.folder(path.Dir(name)); err != nil {
		return err
	}
	info, err := s.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return escapes(err)
	case info.IsDir():
		return fmt.Errorf("%w: %s is a folder and something else", ErrArchive, name)
	}
	return s.root.Remove(name)
}

// folder makes a folder and those above it.
func (s *stage) folder(name string) error {
	if name == "." {
		return nil
	}
	if info, err := s.root.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	if err := s.folder(path.Dir(name)); err != nil {
		return err
	}
	if s.files++; s.files > s.cfg.FilesMax {
		return fmt.Errorf("%w: more than %d files", ErrTooBig, s.cfg.FilesMax)
	}
	if err := s.root.Mkdir(name, 0o755); err != nil {
		return escapes(err)
	}
	return s.give(s.root, name)
}

// give gives a new file to the sandbox's owner.
func (s *stage) give(root *os.Root, name string) error {
	if s.owner == nil {
		return nil
	}
	return root.Lchown(name, int(s.owner.Uid), int(s.owner.Gid))
}

// mergeFolder moves all that is in one folder of the sandbox to another.
func mergeFolder(sandbox *os.Root, from, to string) error {
	folder, err := sandbox.Open(from)
	if err != nil {
		return err
	}
	names, err := folder.Readdirnames(-1)
	if err := errors.Join(err, folder.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if err := merge(sandbox, path.Join(from, name), path.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

// merge moves a file or folder in the sandbox, replacing a file and filling up
// a folder that is there.
func merge(sandbox *os.Root, from, to string) error {
	if err := sandbox.MkdirAll(path.Dir(to), 0o755); err != nil {
		return fmt.Errorf("%s: %w", to, escapes(err))
	}
	moved, err := sandbox.Lstat(from)
	if err != nil {
		return err
	}
	there, err := sandbox.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return escapes(err)
	case moved.IsDir() && there.IsDir():
		return mergeFolder(sandbox, from, to)
	case moved.IsDir() || there.IsDir():
		return fmt.Errorf("%s: a folder is in the way, or would be in that of a file", to)
	}
	return escapes(sandbox.Rename(from, to))
}

// escapes marks the error of an os.Root for a path that leads out of it, which
// has no name of its own: it is none of the system's.
func escapes(err error) error {
	var cause error
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		cause = failed.Err
	}
	if failed, ok := errors.AsType[*os.LinkError](err); ok {
		cause = failed.Err
	}
	if _, system := errors.AsType[syscall.Errno](cause); cause == nil || system {
		return err
	}
	return fmt.Errorf("%w: %w", ErrEscapes, err)
}

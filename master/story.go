package master

import (
	"errors"
	"slices"
	"sync"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
)

// errTrimmed is the error for a watch from a revision that is no longer kept.
var errTrimmed = errors.New("that revision is not kept, or not any more; watch from 0")

// story keeps the newest batches of changes, so that a watch can resume, and
// the newest notes. The view's lock guards it.
type story struct {
	batches    []published
	first      int64 // number of the oldest batch kept
	since      int64 // changes up to this revision are not in batches
	changes    int   // in batches
	changesMax int
	notes      []numberedNote
	notesMax   int
	noted      int64 // number of the newest note
}

// published is one batch as it was made known.
type published struct {
	revision int64
	size     int                     // number of changes
	told     func() (telling, error) // how watchers are told of it, made when the first of them wants it
	notes    []numberedNote
}

// publishedChange is a change with what it took the place of, nil for nothing.
type publishedChange struct {
	engine.Change

	before engine.Record
}

// numberedNote is a note with its place in the story of this term.
type numberedNote struct {
	seq  int64
	note engine.Note
}

func newStory(cfg Config, revision int64) story {
	return story{since: revision, changesMax: cfg.History, notesMax: cfg.NotesMax}
}

func (s *story) add(revision int64, changes []publishedChange, notes []engine.Note) {
	batch := published{revision: revision, size: len(changes), notes: make([]numberedNote, 0, len(notes)), told: sync.OnceValues(func() (telling, error) { return tell(changes) })}
	for _, note := range notes {
		s.noted++
		batch.notes = append(batch.notes, numberedNote{s.noted, note})
	}
	s.notes = append(s.notes, batch.notes...)
	s.append(batch)
}

// end returns the number of the next batch.
func (s *story) end() int64 { return s.first + int64(len(s.batches)) }

func (s *story) append(batch published) {
	s.batches = append(s.batches, batch)
	s.changes += batch.size
	s.trim()
}

// trim forgets the oldest. What is cut off a slice is overwritten: its array
// lives until it is full.
func (s *story) trim() {
	for len(s.batches) > 1 && (s.changes > s.changesMax || len(s.batches) > s.changesMax) {
		s.since = s.batches[0].revision
		s.changes -= s.batches[0].size
		s.first++
		s.batches[0] = published{}
		s.batches = s.batches[1:]
	}
	if extra := len(s.notes) - s.notesMax; extra > 0 {
		clear(s.notes[:extra])
		s.notes = s.notes[extra:]
	}
}

// notes returns up to a number of notes after that one, oldest first; after 0
// the newest.
func (v *view) notes(after int64, service id.Service, most int) []numberedNote {
	v.mu.RLock()
	defer v.mu.RUnlock()
	about := func(n numberedNote) bool { return service == "" || n.note.Service == service }
	var list []numberedNote
	if after == 0 {
		for _, n := range slices.Backward(v.story.notes) {
			if about(n) && len(list) < most {
				list = append(list, n)
			}
		}
		slices.Reverse(list)
		return list
	}
	for _, n := range v.story.notes {
		if n.seq > after && about(n) && len(list) < most {
			list = append(list, n)
		}
	}
	return list
}

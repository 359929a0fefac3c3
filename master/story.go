package master

import (
	"errors"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
)

// errTrimmed is the error for a watch from a revision that is no longer kept.
var errTrimmed = errors.New("that revision is no longer kept; watch from 0")

// story keeps the newest batches of changes, so that a watch can resume, and
// the newest notes. The view's lock guards it.
type story struct {
	batches   []published
	first     int64 // number of the oldest batch kept
	since     int64 // changes up to this revision are not in batches
	most      int
	notes     []engine.Note
	noted     int64 // number of the newest note
	notesMost int
}

// published is one batch as it was made known.
type published struct {
	revision int64
	changes  []engine.Change
	notes    []numberedNote
}

// numberedNote is a note with its place in the story of this term.
type numberedNote struct {
	seq  int64
	note engine.Note
}

func newStory(cfg Config, revision int64) story {
	return story{since: revision, most: cfg.History, notesMost: cfg.NotesMax}
}

func (s *story) add(revision int64, changes engine.Changes) {
	batch := published{revision: revision, changes: changes.Records}
	for _, note := range changes.Notes {
		s.noted++
		s.notes = append(s.notes, note)
		batch.notes = append(batch.notes, numberedNote{s.noted, note})
	}
	s.batches = append(s.batches, batch)
	if extra := len(s.batches) - s.most; extra > s.most { // seldom, because it copies
		s.since = s.batches[extra-1].revision
		s.first += int64(extra)
		s.batches = append([]published(nil), s.batches[extra:]...)
	}
	if extra := len(s.notes) - s.notesMost; extra > s.notesMost {
		s.notes = append([]engine.Note(nil), s.notes[extra:]...)
	}
}

// notes returns the notes after that number, oldest first.
func (v *view) notes(after int64, service id.Service) []numberedNote {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var list []numberedNote
	first := v.story.noted - int64(len(v.story.notes)) + 1
	for i, note := range v.story.notes {
		if seq := first + int64(i); seq > after && (service == "" || note.Service == service) {
			list = append(list, numberedNote{seq, note})
		}
	}
	return list
}

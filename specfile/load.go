package specfile

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
)

// Document is one spec of a file.
type Document struct {
	Spec   *spec.Spec
	Source string // the part of the file that it was read from
}

// Load returns the specs of a file that may hold several documents, each begun
// by a line ---. The name is for messages. The error is Problems: all that is
// wrong with all of the documents.
func Load(name string, text []byte) ([]*spec.Spec, error) {
	documents, err := Documents(name, text)
	var specs []*spec.Spec
	for _, document := range documents {
		specs = append(specs, document.Spec)
	}
	return specs, err
}

// Documents returns what Load returns, each spec with its source.
func Documents(name string, text []byte) ([]Document, error) {
	parts, problems := parse(text)
	var documents []Document
	lines := make(map[id.Service]int)
	for _, p := range parts {
		s, err := spec.Decode(p.node, zoneKnown)
		if found, bad := errors.AsType[spec.Problems](err); bad {
			problems = append(problems, found...)
			continue
		}
		at := nameOf(p.node, s.Kind)
		if first, twice := lines[s.Name]; twice {
			problems = append(problems, spec.Problem{
				Line: at.Line, Column: at.Column, Field: s.Kind.String(),
				Message: fmt.Sprintf("the name %s is in line %d already; services, jobs, daemons and crons share their names", s.Name, first),
			})
		}
		lines[s.Name] = at.Line
		documents = append(documents, Document{Spec: s, Source: p.source})
	}
	if len(problems) > 0 {
		return nil, problemsOf(name, problems)
	}
	return documents, nil
}

// nameOf returns where a document tells its name.
func nameOf(document spec.Node, kind spec.Kind) spec.Node {
	i := slices.IndexFunc(document.Entries, func(e spec.Entry) bool { return e.Key.Value == kind.String() })
	return document.Entries[i].Key
}

// zoneKnown reports whether this machine, or the binary, has the time zone.
func zoneKnown(name string) bool {
	_, err := time.LoadLocation(name)
	return err == nil
}

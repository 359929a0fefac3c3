package spec

import (
	"errors"
	"fmt"
	"strings"
)

// Expand returns text with each ${NAME} replaced by the value that lookup has
// for it, and $$ by a dollar sign. Any other dollar stands for itself. It is an
// error if lookup has no value, or if the result is longer than a program can
// be given.
func Expand(text string, lookup func(name string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		out.WriteString(before)
		switch {
		case out.Len() > textMax:
			return "", fmt.Errorf("with its references replaced it has more than %d bytes", textMax)
		case !found:
			return out.String(), nil
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "{"):
			name, behind, err := reference(rest[1:])
			if err != nil {
				return "", err
			}
			value, known := lookup(name)
			if !known {
				return "", fmt.Errorf("${%s} is not set", clip(name))
			}
			out.WriteString(value)
			text = behind
		default:
			out.WriteByte('$')
			text = rest
		}
	}
}

// reference returns the name at the start of text, up to the brace, and what is
// behind.
func reference(text string) (name, behind string, err error) {
	name, behind, closed := strings.Cut(text, "}")
	if !closed {
		return "", "", errors.New("a ${ has no }; write $$ for a dollar sign")
	}
	if !isVariable(name) {
		return "", "", fmt.Errorf("${%s} is not the name of a variable; write $$ for a dollar sign", clip(name))
	}
	return name, behind, nil
}

// Environ returns the variables that r adds to a task's environment, with their
// references replaced: by each other's values first, then by what base has. A
// variable that refers to itself means the one in base, as in
// PATH: "${PATH}:/opt/bin".
func (r Run) Environ(base func(name string) (string, bool)) (map[string]string, error) {
	e := newEnviron(r, base)
	env := make(map[string]string, len(r.Env))
	for _, name := range sortedKeys(r.Env) {
		value, err := e.value(name, nil)
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", name, err)
		}
		env[name] = value
	}
	return env, nil
}

// environ computes each variable once, whatever refers to it.
type environ struct {
	run  Run
	base func(string) (string, bool)
	done map[string]outcome
}

type outcome struct {
	value string
	err   error
}

func newEnviron(run Run, base func(string) (string, bool)) environ {
	return environ{run: run, base: base, done: make(map[string]outcome)}
}

// value returns the variable's value; asking are those that wait for it.
func (e environ) value(name string, asking []string) (string, error) {
	if known, ok := e.done[name]; ok {
		return known.value, known.err
	}
	if round := cycle(name, asking); round != nil {
		return "", fmt.Errorf("leads into a cycle: %s", strings.Join(round, " -> "))
	}
	var broken error
	value, err := Expand(e.run.Env[name], func(other string) (string, bool) {
		if _, ours := e.run.Env[other]; !ours || other == name {
			return e.base(other)
		}
		if broken != nil {
			return "", true
		}
		var inner string
		inner, broken = e.value(other, append(asking, name))
		return inner, true
	})
	if broken != nil {
		value, err = "", broken
	}
	e.done[name] = outcome{value, err}
	return value, err
}

// cycle returns the way from name back to name, nil if there is none.
func cycle(name string, asking []string) []string {
	for i, other := range asking {
		if other == name {
			return append(asking[i:len(asking):len(asking)], name)
		}
	}
	return nil
}

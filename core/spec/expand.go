package spec

import (
	"errors"
	"fmt"
	"strings"
)

// Expand returns text with each ${NAME} replaced by the value that lookup has
// for it, and $$ by a dollar sign. Any other dollar stands for itself. It is an
// error if lookup has no value.
func Expand(text string, lookup func(name string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		out.WriteString(before)
		switch {
		case !found:
			return out.String(), nil
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "{"):
			name, behind, closed := strings.Cut(rest[1:], "}")
			if !closed {
				return "", errors.New("a ${ has no }; write $$ for a dollar sign")
			}
			if !isVariable(name) {
				return "", fmt.Errorf("${%s} is not the name of a variable; write $$ for a dollar sign", clip(name))
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

// Environ returns the variables that r adds to a task's environment, with their
// references replaced: by each other's values first, then by what base has. A
// variable that refers to itself means the one in base, as in
// PATH: "${PATH}:/opt/bin".
func (r Run) Environ(base func(name string) (string, bool)) (map[string]string, error) {
	e := environ{run: r, base: base, done: make(map[string]string)}
	for _, name := range sortedKeys(r.Env) {
		if _, err := e.value(name, nil); err != nil {
			return nil, fmt.Errorf("env %s: %w", name, err)
		}
	}
	return e.done, nil
}

type environ struct {
	run  Run
	base func(string) (string, bool)
	done map[string]string
}

// value returns the variable's value; asking are those that wait for it.
func (e environ) value(name string, asking []string) (string, error) {
	if value, ok := e.done[name]; ok {
		return value, nil
	}
	if round := cycle(name, asking); round != nil {
		return "", fmt.Errorf("is in a cycle: %s", strings.Join(round, " -> "))
	}
	var broken error
	value, err := Expand(e.run.Env[name], func(other string) (string, bool) {
		if _, ours := e.run.Env[other]; !ours || other == name {
			return e.base(other)
		}
		inner, err := e.value(other, append(asking, name))
		broken = errors.Join(broken, err)
		return inner, true
	})
	if err = errors.Join(broken, err); err != nil {
		return "", err
	}
	e.done[name] = value
	return value, nil
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

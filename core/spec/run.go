package spec

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of a run.
const (
	argumentsMax = 1000
	variablesMax = 1000
	artifactsMax = 100
)

func runRule() rule[Run] {
	return record(
		Run{},
		field[Run]{
			name: "command", doc: "Program and arguments. ${NAME} is replaced from the task's environment, $$ is a dollar sign.",
			rule: at(commandRule(), func(r *Run) *[]string { return &r.Command }),
		},
		field[Run]{
			name: "shell", doc: "A line for /bin/sh -c, instead of command.",
			rule: at(optional(textLeaf("a shell line", "", noCheck).quoting()), func(r *Run) *string { return &r.Shell }),
		},
		field[Run]{
			name: "env", doc: "Variables added to the task's environment. ${NAME} is replaced as in command.",
			rule: at(
				mapping("^[A-Za-z_][A-Za-z0-9_]*$", checkVariable, argumentRule(), variablesMax),
				func(r *Run) *map[string]string { return &r.Env },
			),
		},
		field[Run]{
			name: "dir", doc: "Working directory inside the sandbox; without it, the top.",
			rule: at(insideRule(), func(r *Run) *string { return &r.Dir }),
		},
		field[Run]{
			name: "user", doc: "The user, by name or number, that the program runs as; without it, the agent's own.",
			rule: at(userRule(), func(r *Run) *string { return &r.User }),
		},
		field[Run]{
			name: "fetch", doc: "Files put into the sandbox before the start.",
			rule: at(list(artifactRule(), Artifact{}, artifactsMax), func(r *Run) *[]Artifact { return &r.Fetch }),
		},
	)
}

func noCheck(string) error { return nil }

// commandRule returns a rule for a list of arguments, or for a line without
// shell characters, which is split at its spaces.
func commandRule() rule[[]string] {
	arguments := list(argumentRule(), "", argumentsMax)
	line := shape{form: textForm, pattern: "^[^'\"`\\\\|&;<>()*?#~\n]+$"}
	const want = "want a list such as [./web, --verbose]"
	return rule[[]string]{
		shape: shape{form: eitherForm, either: []shape{line, arguments.shape}},
		read: func(d *decoder, field string, n Node, into *[]string) {
			switch {
			case n.Kind == List && len(n.Items) == 0:
				d.report(n, field, "found an empty list; %s", want)
			case n.Kind == List:
				arguments.read(d, field, n, into)
			case n.Kind != Scalar || n.literal() == flagged:
				d.report(n, field, "found %s; %s, or a line", n.described(), want)
			default:
				words, err := splitLine(n.Value)
				if err != nil {
					d.report(n, field, "found %s; %s: %v", n.described(), want, err)
				}
				*into = words
			}
		},
		tree: arguments.tree,
	}
}

func splitLine(text string) ([]string, error) {
	if i := strings.IndexAny(text, "'\"`\\|&;<>()*?#~\n"); i >= 0 {
		return nil, fmt.Errorf("a line may not have %q, which a shell would act on; use a list, or shell instead", text[i])
	}
	if err := checkText(text); err != nil {
		return nil, err
	}
	words := strings.Fields(text)
	switch {
	case len(words) == 0:
		return nil, errors.New("it is empty")
	case len(words) > argumentsMax:
		return nil, fmt.Errorf("%d arguments are more than %d", len(words), argumentsMax)
	}
	return words, nil
}

// checkVariable returns what the name of a variable must be, if it is not.
func checkVariable(name string) error {
	switch {
	case !isVariable(name):
		return errors.New("the name of a variable: letters, digits and _, not a digit first")
	case strings.HasPrefix(name, "ALOFT_"):
		return errors.New("another name: aloft sets those that begin with ALOFT_")
	}
	return nil
}

func isVariable(name string) bool {
	return isWord(name, "_") && (name[0] < '0' || name[0] > '9')
}

// userRule returns a rule for a user's name or number, with or without a group.
func userRule() rule[string] {
	check := func(text string) error {
		if !isWord(text, "_.-:$") || len(text) > 65 || strings.HasPrefix(text, "-") || strings.Count(text, ":") > 1 {
			return errForm
		}
		return nil
	}
	l := textLeaf("a user as in www-data, 1000 or www-data:www-data", "^[A-Za-z0-9_.$][A-Za-z0-9_.$-]*(:[A-Za-z0-9_.$-]+)?$", check)
	l.shape.numbers = true
	return optional(l.quoting())
}

// insideRule returns a rule for a path that does not leave the sandbox.
func insideRule() rule[string] {
	l := textLeaf("a path inside the sandbox such as data/cache", "^[^/]", checkInside)
	l.shape.numbers = true
	return optional(l.quoting())
}

func checkInside(path string) error {
	if strings.HasPrefix(path, "/") {
		return errors.New("it begins at the root of the machine")
	}
	depth := 0
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "", ".":
		case "..":
			depth--
		default:
			depth++
		}
		if depth < 0 {
			return errors.New("it climbs out")
		}
	}
	return nil
}

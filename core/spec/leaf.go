package spec

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aloft-run/aloft/core/id"
)

// textMax is the longest text in bytes: what Linux allows for one argument or
// variable of a program, with room for the name.
const textMax = 120 << 10

// countRule returns a rule for a whole number.
func countRule(low, high int) rule[int] {
	return leaf[int]{
		want:  fmt.Sprintf("a whole number from %d to %d", low, high),
		shape: shape{form: integerForm, low: int64(low), high: int64(high)},
		parse: func(text string) (int, error) {
			n, err := strconv.Atoi(text)
			if err != nil || n < low || n > high {
				return 0, errForm
			}
			return n, nil
		},
		print: strconv.Itoa,
	}.rule()
}

// flagRule returns a rule for true and false.
func flagRule() rule[bool] {
	return leaf[bool]{
		want:  "true or false",
		shape: shape{form: flagForm},
		parse: func(text string) (bool, error) { return strings.EqualFold(text, "true"), nil },
		print: strconv.FormatBool,
	}.rule()
}

// textLeaf returns a rule for a text that check accepts and that is not empty.
func textLeaf(want, pattern string, check func(string) error) leaf[string] {
	return leaf[string]{
		want:  want,
		shape: shape{form: textForm, pattern: pattern},
		parse: func(text string) (string, error) {
			if text == "" {
				return "", errForm
			}
			if err := checkText(text); err != nil {
				return "", err
			}
			return text, check(text)
		},
		print: func(text string) string { return text },
	}
}

// argumentRule returns a rule for a text that goes to a program as it is, for which
// numbers and flags stand too.
func argumentRule() rule[string] {
	return leaf[string]{
		want:  "text",
		shape: shape{form: textForm, numbers: true, flags: true},
		parse: func(text string) (string, error) { return text, checkText(text) },
		print: func(text string) string { return text },
	}.quoting()
}

// quoting returns the leaf as a rule that always writes text: a number that
// stands for its text is text from then on.
func (l leaf[T]) quoting() rule[T] {
	r := l.rule()
	r.tree = func(_ Kind, from *T) (Node, bool) { return textNode(l.print(*from)), true }
	return r
}

// checkText returns why a program could not be given the text.
func checkText(text string) error {
	switch {
	case len(text) > textMax:
		return fmt.Errorf("%d bytes are more than %d", len(text), textMax)
	case strings.Contains(text, "\x00"):
		return fmt.Errorf("a program cannot be given the character NUL")
	case strings.ToValidUTF8(text, "") != text:
		return fmt.Errorf("it is not UTF-8")
	}
	return nil
}

// labelPattern matches what id.Check accepts.
const labelPattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"

// nameRule returns a rule for a name that an operator chooses.
func nameRule[T ~string]() rule[T] {
	return leaf[T]{
		want:  fmt.Sprintf("a name: 1 to %d lower-case letters, digits and inner hyphens", id.LengthMax),
		shape: shape{form: textForm, pattern: labelPattern},
		parse: func(text string) (T, error) {
			if id.Check(text) != nil {
				return "", errForm
			}
			return T(text), nil
		},
		print: func(name T) string { return string(name) },
	}.quoting()
}

// choiceRule returns a rule for one of several words.
func choiceRule[T interface {
	comparable
	fmt.Stringer
}](options ...T,
) rule[T] {
	var words []string
	for _, option := range options {
		words = append(words, option.String())
	}
	return leaf[T]{
		want:  enumerated(words),
		shape: shape{form: textForm, choices: words},
		parse: func(text string) (T, error) {
			for _, option := range options {
				if option.String() == text {
					return option, nil
				}
			}
			return *new(T), errForm
		},
		print: T.String,
	}.rule()
}

// isPlain reports whether text has only visible characters, without spaces.
func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == 0xfffd
	})
}

// isWord reports whether text is not empty and has only ASCII letters, digits
// and the characters in others.
func isWord(text, others string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		alphanumeric := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !alphanumeric && !strings.ContainsRune(others, r)
	})
}

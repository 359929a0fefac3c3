package resource

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aloft-run/aloft/core/id"
)

// none is the text of ranges without a number.
const none = "none"

// ParseError says what is wrong with the text of a quantity.
type ParseError struct {
	Type   Type
	Text   string
	Reason string // what was found, and what would be right
}

// Error names the type, the text and the reason.
func (e *ParseError) Error() string {
	return fmt.Sprintf("%s %q: %s", e.Type, clip(e.Text), e.Reason)
}

// clip keeps an error short, whatever the text.
func clip(text string) string {
	const lengthMax = 64
	if len(text) <= lengthMax {
		return text
	}
	return text[:lengthMax] + "…"
}

// Parse reads the text of a quantity of t:
//
//   - cpus and custom scalars: 2, 0.5 or 500m, to a thousandth;
//   - mem and disk: 1024 (bytes), 256MiB, 1GB, 1.5GiB, where K, M, G, T and P
//     alone count in thousands, as KB does;
//   - gpus: 2;
//   - ports and custom ranges: 20000-29999,31000, or none;
//   - custom sets: {a,b}.
//
// The error is a *ParseError.
func Parse(t Type, text string) (Quantity, error) {
	kind, known := t.Kind()
	if !known {
		if err := id.Check(t); err != nil {
			return Quantity{}, &ParseError{Type: t, Text: text, Reason: "the resource type is " + err.Error()}
		}
		kind = kindOf(text)
	}
	var q Quantity
	var err error
	switch kind {
	case KindRanges:
		q, err = parseRanges(t, text)
	case KindSet:
		q, err = parseSet(text)
	case KindScalar:
		var amount int64
		amount, err = parseScalar(text, unitsOf(t))
		q = Scalar(amount)
	}
	if err != nil {
		return Quantity{}, &ParseError{Type: t, Text: text, Reason: err.Error()}
	}
	return q, nil
}

// kindOf returns the kind that the text of a custom type is written in.
func kindOf(text string) Kind {
	switch {
	case strings.HasPrefix(text, "{"):
		return KindSet
	case text == none || strings.Contains(text, ",") || strings.LastIndex(text, "-") > 0:
		return KindRanges
	default:
		return KindScalar
	}
}

func parseRanges(t Type, text string) (Quantity, error) {
	if text == none {
		return RangesOf()
	}
	var ranges []Range
	for part := range strings.SplitSeq(text, ",") {
		r, err := parseRange(strings.TrimSpace(part))
		if err != nil {
			return Quantity{}, err
		}
		if t == Ports && (r.First < 1 || r.First > PortMax || r.Last < 1 || r.Last > PortMax) {
			return Quantity{}, fmt.Errorf("%s is not within the ports 1-%d", r, PortMax)
		}
		ranges = append(ranges, r)
	}
	return RangesOf(ranges...)
}

func parseRange(text string) (Range, error) {
	low, high, both := strings.Cut(text, "-")
	if !both {
		high = low
	}
	if !allDigits(low) || !allDigits(high) {
		return Range{}, fmt.Errorf("%q is not a range, want ranges as in 20000-29999,31000", clip(text))
	}
	first, errFirst := strconv.ParseInt(low, 10, 64)
	last, errLast := strconv.ParseInt(high, 10, 64)
	if errFirst != nil || errLast != nil {
		return Range{}, fmt.Errorf("%w: %s, want at most %d", ErrOverflow, clip(text), int64(RangeMax))
	}
	return Range{first, last}, nil
}

func parseSet(text string) (Quantity, error) {
	inner, opened := strings.CutPrefix(text, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	if !opened || !closed {
		return Quantity{}, errors.New("no closing brace, want a set as in {a,b}")
	}
	if inner == "" {
		return SetOf()
	}
	var members []string
	for member := range strings.SplitSeq(inner, ",") {
		members = append(members, strings.TrimSpace(member))
	}
	return SetOf(members...)
}

// Format returns the canonical text of q, a quantity of t. Parse reads it back
// unless q is overcommitted: a scalar below zero is printed with its sign.
func Format(t Type, q Quantity) string {
	kind, known := t.Kind()
	if !known || !q.IsZero() {
		kind = q.kind
	}
	switch kind {
	case KindRanges:
		return formatRanges(t, q.ranges())
	case KindSet:
		return "{" + strings.Join(q.members(), ",") + "}"
	default:
		return formatFor(t, q.amount)
	}
}

func formatRanges(t Type, ranges []Range) string {
	if len(ranges) == 0 {
		return none
	}
	if len(ranges) == 1 && ranges[0].First == ranges[0].Last && t != Ports {
		return fmt.Sprintf("%d-%d", ranges[0].First, ranges[0].Last) // one number alone would read as a scalar
	}
	texts := make([]string, len(ranges))
	for i, r := range ranges {
		texts[i] = r.String()
	}
	return strings.Join(texts, ",")
}

// String returns q in its smallest unit, which is for debugging: Format knows
// the type and prints for people.
func (q Quantity) String() string {
	if q.kind == KindScalar {
		return strconv.FormatInt(q.amount, 10)
	}
	return Format("", q)
}

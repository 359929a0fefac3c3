package resource

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// decimalsMax is how many digits may stand after the point.
const decimalsMax = 3

// unit is a suffix and how many of the smallest unit it stands for.
type unit struct {
	name   string
	factor int64
}

// units is how scalars of one type are written.
type units struct {
	list    []unit // the plain number first
	example string // for errors
}

// unitsOf returns how scalars of t are written.
func unitsOf(t Type) units {
	switch t {
	case Mem, Disk:
		return units{bytesUnits(), "bytes as in 1024, 256MiB or 1GB"}
	case GPUs:
		return units{[]unit{{"", 1}}, "a whole number as in 2"}
	default:
		return units{[]unit{{"", 1000}, {"m", 1}}, "a number as in 2, 0.5 or 500m"}
	}
}

// bytesUnits returns the units of bytes, smallest first, and of two names for
// one unit the printed one last.
func bytesUnits() []unit {
	list := []unit{{"B", 1}, {"", 1}}
	decimal, binary := int64(1), int64(1)
	for _, prefix := range []string{"K", "M", "G", "T", "P"} {
		decimal, binary = decimal*1000, binary*1024
		list = append(list, unit{prefix, decimal}, unit{prefix + "B", decimal}, unit{prefix + "iB", binary})
	}
	return list
}

// parseScalar reads a number with one of the units' suffixes.
func parseScalar(text string, in units) (int64, error) {
	if strings.HasPrefix(text, "-") {
		return 0, fmt.Errorf("below zero, want %s", in.example)
	}
	end := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(text)
	}
	whole, decimals, point := strings.Cut(text[:end], ".")
	if !allDigits(whole) || point && !allDigits(decimals) {
		return 0, fmt.Errorf("not a number, want %s", in.example)
	}
	if len(decimals) > decimalsMax {
		return 0, fmt.Errorf("more than %d decimals, want %s", decimalsMax, in.example)
	}
	for _, u := range in.list {
		if u.name == text[end:] {
			return scale(whole, decimals, u.factor, in.example)
		}
	}
	return 0, fmt.Errorf("unknown unit %q, want %s", clip(text[end:]), in.example)
}

// scale returns whole.decimals times factor, which has to be a whole number.
func scale(whole, decimals string, factor int64, example string) (int64, error) {
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > math.MaxInt64/factor {
		return 0, fmt.Errorf("%w, want %s", ErrOverflow, example)
	}
	var thousandths int64
	for _, digit := range (decimals + "000")[:decimalsMax] {
		thousandths = thousandths*10 + int64(digit-'0')
	}
	part := thousandths * factor
	switch {
	case part%1000 != 0:
		return 0, fmt.Errorf("a part of the smallest unit, want %s", example)
	case n*factor > math.MaxInt64-part/1000:
		return 0, fmt.Errorf("%w, want %s", ErrOverflow, example)
	}
	return n*factor + part/1000, nil
}

func allDigits(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}

// formatFor prints an amount of t: cpus and custom types as a decimal number,
// bytes in the unit that makes the shortest text, of two such the larger one.
func formatFor(t Type, amount int64) string {
	sign, n := "", uint64(amount)
	if amount < 0 {
		sign, n = "-", -n
	}
	switch t {
	case GPUs:
		return sign + strconv.FormatUint(n, 10)
	case Mem, Disk:
		return sign + formatBytes(n)
	default:
		return sign + decimal(n/1000, n%1000)
	}
}

func formatBytes(n uint64) string {
	best := strconv.FormatUint(n, 10)
	for _, u := range bytesUnits() {
		factor := uint64(u.factor)
		whole, rest := n/factor, n%factor
		if len(u.name) == 1 || whole == 0 || rest*1000%factor != 0 {
			continue // 1GB is clearer than 1G
		}
		if text := decimal(whole, rest*1000/factor) + u.name; len(text) <= len(best) {
			best = text
		}
	}
	return best
}

// decimal prints a number without needless zeros.
func decimal(whole, thousandths uint64) string {
	text := strconv.FormatUint(whole, 10)
	if thousandths == 0 {
		return text
	}
	return text + "." + strings.TrimRight(fmt.Sprintf("%03d", thousandths), "0")
}

// FormatAmount prints n, the Amount of a quantity of t: a scalar as Format
// does, and how many numbers or members there are for the other kinds.
func FormatAmount(t Type, kind Kind, n int64) string {
	if kind == KindScalar {
		return formatFor(t, n)
	}
	return strconv.FormatInt(n, 10)
}

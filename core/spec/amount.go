package spec

import (
	"strconv"
	"strings"
)

// String returns the amount as a spec file writes it: 2 or 25%.
func (a Amount) String() string {
	if a.Percent != 0 {
		return strconv.Itoa(a.Percent) + "%"
	}
	return strconv.Itoa(a.Count)
}

// Of returns how many of so many instances the amount is. A share that is not
// whole is rounded up or down.
func (a Amount) Of(instances int, roundUp bool) int {
	if a.Percent == 0 {
		return a.Count
	}
	hundredths := instances * a.Percent
	if roundUp {
		hundredths += 99
	}
	return hundredths / 100
}

// amountRule returns a rule for a count or a share.
func amountRule() rule[Amount] {
	r := leaf[Amount]{
		want:  "a count such as 1 or a share such as 25%, up to 100%",
		shape: shape{form: textForm, numbers: true},
		parse: parseAmount,
		print: Amount.String,
	}.rule()
	r.shape = shape{form: eitherForm, either: []shape{
		{form: integerForm, low: 0, high: instancesMax},
		{form: textForm, pattern: `^(100|[0-9]{1,2})%$`},
	}}
	return r
}

func parseAmount(text string) (Amount, error) {
	share, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(share)
	switch {
	case err != nil || n < 0:
		return Amount{}, errForm
	case percent && n <= 100:
		return Amount{Percent: n}, nil
	case !percent && n <= instancesMax:
		return Amount{Count: n}, nil
	default:
		return Amount{}, errForm
	}
}

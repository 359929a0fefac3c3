package resource_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/core/resource"
)

func TestParseAndFormat(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kind   resource.Type
		text   string
		amount int64
		want   string // canonical
	}{
		"half a core":                        {resource.CPUs, "0.5", 500, "0.5"},
		"thousandths of a core":              {resource.CPUs, "500m", 500, "0.5"},
		"one thousandth":                     {resource.CPUs, "1m", 1, "0.001"},
		"whole cores":                        {resource.CPUs, "2", 2000, "2"},
		"needless zeros go":                  {resource.CPUs, "02.500", 2500, "2.5"},
		"nothing":                            {resource.CPUs, "0", 0, "0"},
		"plain bytes":                        {resource.Mem, "500", 500, "500"},
		"bytes by name":                      {resource.Mem, "500B", 500, "500"},
		"a plain number finds its unit":      {resource.Mem, "1024", 1024, "1KiB"},
		"binary unit":                        {resource.Mem, "256MiB", 256 << 20, "256MiB"},
		"decimal unit":                       {resource.Mem, "1GB", 1e9, "1GB"},
		"one letter counts in thousands":     {resource.Disk, "5K", 5000, "5KB"},
		"a fraction of a large unit":         {resource.Mem, "1.5GiB", 3 << 29, "1.5GiB"},
		"the shorter of two exact forms":     {resource.Mem, "1152MiB", 1152 << 20, "1152MiB"},
		"no short form":                      {resource.Mem, "1234567891", 1234567891, "1234567891"},
		"petabytes":                          {resource.Disk, "8191PiB", 8191 << 50, "8191PiB"},
		"devices":                            {resource.GPUs, "4", 4, "4"},
		"one port":                           {resource.Ports, "31000", 1, "31000"},
		"ports in any order":                 {resource.Ports, "31000, 20000-29999", 10001, "20000-29999,31000"},
		"ranges that touch are one":          {resource.Ports, "1-5,6,7-9", 9, "1-9"},
		"no ports":                           {resource.Ports, "none", 0, "none"},
		"a custom scalar":                    {"bandwidth", "1.5", 1500, "1.5"},
		"custom ranges":                      {"vlans", "100-200,7", 102, "7,100-200"},
		"a custom range of one number":       {"vlans", "7-7", 1, "7-7"},
		"a custom set":                       {"licences", "{b, a}", 2, "{a,b}"},
		"an empty set":                       {"licences", "{}", 0, "{}"},
		"the largest number of a range":      {"vlans", "0-9223372036854775806", 9223372036854775807, "0-9223372036854775806"},
		"the largest amount of a custom one": {"bandwidth", "9223372036854775.807", 9223372036854775807, "9223372036854775.807"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, err := resource.Parse(tc.kind, tc.text)

			if err != nil || q.Amount() != tc.amount {
				t.Fatalf("Parse(%s, %q) = %d, %v, want %d", tc.kind, tc.text, q.Amount(), err, tc.amount)
			}
			if got := resource.Format(tc.kind, q); got != tc.want {
				t.Errorf("Format(%s, %q) = %q, want %q", tc.kind, tc.text, got, tc.want)
			}
		})
	}
}

func TestParseRefusals(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kind   resource.Type
		text   string
		reason string
	}{
		"empty":                          {resource.CPUs, "", "not a number, want a number as in 2, 0.5 or 500m"},
		"negative":                       {resource.CPUs, "-1", "below zero, want a number as in"},
		"negative custom":                {"bandwidth", "-0.5", "below zero"},
		"plus sign":                      {resource.CPUs, "+1", "not a number"},
		"not a number":                   {resource.CPUs, "NaN", "not a number"},
		"infinite":                       {resource.Mem, "Inf", "not a number, want bytes as in 1024, 256MiB or 1GB"},
		"exponent":                       {resource.CPUs, "1e3", `unknown unit "e3"`},
		"too fine":                       {resource.CPUs, "0.0005", "more than 3 decimals"},
		"a part of a thousandth":         {resource.CPUs, "0.5m", "a part of the smallest unit"},
		"a part of a byte":               {resource.Mem, "1.5", "a part of the smallest unit"},
		"a part of a device":             {resource.GPUs, "0.5", "a part of the smallest unit, want a whole number as in 2"},
		"two points":                     {resource.CPUs, "1.2.3", "not a number"},
		"no digit after the point":       {resource.CPUs, "1.", "not a number"},
		"unknown unit":                   {resource.Mem, "1Mb", `unknown unit "Mb", want bytes as in`},
		"unit of another type":           {resource.Mem, "500m", `unknown unit "m"`},
		"space before the unit":          {resource.Mem, "1 GB", `unknown unit " GB"`},
		"more bytes than 64 bits":        {resource.Mem, "8192PiB", "number too large"},
		"more digits than 64 bits":       {resource.Mem, "99999999999999999999", "number too large"},
		"the fraction is too much":       {"bandwidth", "9223372036854775.808", "number too large"},
		"ports below 1":                  {resource.Ports, "0-80", "0-80 is not within the ports 1-65535"},
		"ports above 65535":              {resource.Ports, "65535-65536", "is not within the ports 1-65535"},
		"inverted":                       {resource.Ports, "30000-20000", "range 30000-20000 is inverted, want the lower number first"},
		"overlapping":                    {resource.Ports, "1-10,10-20", "ranges 1-10 and 10-20 have numbers in common"},
		"the same port twice":            {resource.Ports, "80,80", "ranges 80 and 80 have numbers in common"},
		"a range without end":            {resource.Ports, "80-", `"80-" is not a range, want ranges as in 20000-29999,31000`},
		"a negative port":                {resource.Ports, "-80", `"-80" is not a range`},
		"an empty part":                  {resource.Ports, "80,,90", `"" is not a range`},
		"a set of ports":                 {resource.Ports, "{80}", "is not a range"},
		"a range of more than 64 bits":   {"vlans", "1-9223372036854775808", "number too large"},
		"a range that cannot be counted": {"vlans", "0-9223372036854775807", "is not within 0-9223372036854775806"},
		"an open set":                    {"licences", "{a", "no closing brace, want a set as in {a,b}"},
		"a member twice":                 {"licences", "{a,a}", "member a is there twice"},
		"an empty member":                {"licences", "{a,}", `member ""`},
		"a member with a brace":          {"licences", "{a}}", `member "a}", want letters`},
		"a type without a name":          {"", "1", "the resource type is not a name: it is empty"},
		"a type that is not a name":      {"Big Disk", "1", "the resource type is not a name"},
		"a long text is cut":             {resource.CPUs, strings.Repeat("x", 1000), "not a number"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, err := resource.Parse(tc.kind, tc.text)

			refusal, ok := errors.AsType[*resource.ParseError](err)
			if !ok || refusal.Type != tc.kind || refusal.Text != tc.text || !strings.Contains(refusal.Reason, tc.reason) {
				t.Fatalf("Parse(%s, %q) = %v, %v, want reason %q", tc.kind, tc.text, q, err, tc.reason)
			}
			if text := err.Error(); len(text) > 300 || !strings.HasPrefix(text, string(tc.kind)+" ") {
				t.Errorf("error %q does not begin with the field, or is long", text)
			}
		})
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 tasks", 1: "1 task", 2: "2 tasks"} {
		if got := resource.Count(n, "task"); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}

package spec_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones, whatever the machine has

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/spec"
)

func TestNext(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	noon := date(2026, 1, 2, 12, 0, time.UTC) // a Friday
	tests := map[string]struct {
		line  string
		zone  *time.Location
		after time.Time
		want  time.Time
	}{
		"the next minute":                    {"* * * * *", nil, noon, noon.Add(time.Minute)},
		"not the same time again":            {"0 12 * * *", nil, noon, noon.AddDate(0, 0, 1)},
		"the next Monday":                    {"30 3 * * mon", nil, noon, date(2026, 1, 5, 3, 30, time.UTC)},
		"Sunday by its other number":         {"30 3 * * 7", nil, noon, date(2026, 1, 4, 3, 30, time.UTC)},
		"a range by a name to Sunday":        {"0 3 * * sat-7", nil, date(2026, 1, 3, 4, 0, time.UTC), date(2026, 1, 4, 3, 0, time.UTC)},
		"the next leap day":                  {"0 0 29 2 *", nil, noon, date(2028, 2, 29, 0, 0, time.UTC)},
		"hourly":                             {"@hourly", nil, noon, noon.Add(time.Hour)},
		"every so often":                     {"@every 90m", nil, noon, noon.Add(90 * time.Minute)},
		"every so many days":                 {"@every 2d", nil, noon, noon.Add(48 * time.Hour)},
		"UTC, whatever the zone of the time": {"0 3 * * *", nil, noon.In(berlin), date(2026, 1, 3, 3, 0, time.UTC)},
		"midnight elsewhere":                 {"@daily", berlin, noon, date(2026, 1, 3, 0, 0, berlin)},
		"the same hour in summer":            {"0 9 * * *", berlin, date(2026, 3, 28, 12, 0, berlin), date(2026, 3, 29, 9, 0, berlin)},
		"a time that the clock leaves out":   {"30 2 * * *", berlin, date(2026, 3, 28, 12, 0, berlin), date(2026, 3, 30, 2, 30, berlin)},
		"a time that comes twice": {
			"30 2 * * *", berlin,
			date(2026, 10, 25, 0, 30, time.UTC), date(2026, 10, 25, 1, 30, time.UTC),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := spec.Next(spec.Schedule{Line: tc.line}, tc.zone, tc.after)

			if err != nil || !got.Equal(tc.want) {
				t.Errorf("Next = %v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

// TestDaysOfTheWeek: a schedule comes on the days that crontab(5) says, where Sunday is
// both 0 and 7.
func TestDaysOfTheWeek(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var wanted [7]bool
		var parts []string
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			begin := rapid.IntRange(0, 7).Draw(t, "begin")
			end := rapid.IntRange(begin, 7).Draw(t, "end")
			step := rapid.IntRange(1, 8).Draw(t, "step")
			for day := begin; day <= end; day += step {
				wanted[day%7] = true
			}
			part := fmt.Sprintf("%d-%d", begin, end)
			if begin == end && rapid.Bool().Draw(t, "alone") {
				part = strconv.Itoa(begin)
			} else if step > 1 || rapid.Bool().Draw(t, "with a step") {
				part += fmt.Sprintf("/%d", step)
			}
			parts = append(parts, part)
		}
		line := "0 12 * * " + strings.Join(parts, ",")

		var got [7]bool
		at := date(2026, 1, 4, 0, 0, time.UTC) // a Sunday
		for week := at.AddDate(0, 0, 7); ; {
			next, err := spec.Next(spec.Schedule{Line: line}, nil, at)
			if err != nil {
				t.Fatal(err)
			}
			if !next.Before(week) {
				break
			}
			got[next.Weekday()], at = true, next
		}

		if got != wanted {
			t.Fatalf("%s comes on %v, from Sunday on; want %v", line, got, wanted)
		}
	})
}

func TestNextRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		line, want string
		after      time.Time
	}{
		"a bad line":              {"often", "expected exactly 5 fields", date(2026, 1, 1, 0, 0, time.UTC)},
		"a day after Sunday":      {"0 0 * * 8", "above maximum", date(2026, 1, 1, 0, 0, time.UTC)},
		"from Sunday to Friday":   {"0 0 * * 7-5", "beyond end of range", date(2026, 1, 1, 0, 0, time.UTC)},
		"a step of nothing":       {"0 0 * * 5-7/0", "0", date(2026, 1, 1, 0, 0, time.UTC)},
		"no leap day for so long": {"0 0 29 2 *", "no such time comes within five years", date(2096, 3, 1, 0, 0, time.UTC)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := spec.Next(spec.Schedule{Line: tc.line}, nil, tc.after)

			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Next = %v, want %q in it", err, tc.want)
			}
		})
	}
}

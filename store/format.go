package store

import (
	"fmt"
	"strconv"
)

// Format is the number of the data format that this program writes. It reads those before,
// too: 1, without packs. Who leads raises the number that stands in the data.
const Format = 2

// formatText is Format as it stands in the VERSION file and under the version key.
func formatText() string { return strconv.Itoa(Format) }

// checkFormat returns an error that wraps ErrNewerData unless this program knows
// the format that text numbers.
func checkFormat(text string) error {
	format, err := strconv.Atoi(text)
	switch {
	case err != nil || format < 1:
		return fmt.Errorf("%q is no number of a data format", text)
	case format > Format:
		return fmt.Errorf("%w: format %d, known up to %d", ErrNewerData, format, Format)
	}
	return nil
}

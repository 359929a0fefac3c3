package task

import "time"

// ResetAfter is how long an instance must stay ready for its failures before
// to be forgotten.
const ResetAfter = 10 * time.Minute

// The shortest and the longest wait before a program is started again.
const (
	retryMin = time.Second
	retryMax = 5 * time.Minute
)

// RetryDelay returns how long to wait before the next start after that many
// failures in a row: 1 s after the first, doubling to 5 min. It is 0 when
// nothing has failed.
func RetryDelay(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	delay := retryMin
	for range failures - 1 {
		delay *= 2
		if delay >= retryMax {
			return retryMax
		}
	}
	return delay
}

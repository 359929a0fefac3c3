//go:build race

package supervisor_test

const raceDetected = true

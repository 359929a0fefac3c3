package store

// NewZap is how etcd logs.
var NewZap = newZap

// ReadPack returns what a pack says.
func ReadPack(value []byte) ([]Pair, error) {
	entries, _, err := entriesOf(value)
	pairs := make([]Pair, 0, len(entries))
	for _, e := range entries {
		pairs = append(pairs, e.Pair)
	}
	return pairs, err
}

// WritePack returns a pack of operations.
func WritePack(ops []Op) []byte {
	value := []byte{packWritten}
	for _, op := range ops {
		value = appendEntry(value, op)
	}
	return value
}

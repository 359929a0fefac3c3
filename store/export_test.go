package store

// NewZap is how etcd logs.
var NewZap = newZap

package plain

// kind says what a field of a head is about, where a proxy must know.
type kind int

const (
	other kind = iota
	cacheControl
	connection
	contentLength
	contentType
	date
	forwarded // a word of another proxy, which is replaced
	host
	keepAlive
	pragma
	transferEncoding
	unusual // what it means is for net/http to say
	userAgent
)

// known are the fields of which a proxy must know, by the length of their names.
//
//nolint:gochecknoglobals // a table that never changes, since it is asked for each field
var known = [...][]struct {
	name string
	kind kind
}{
	2:  {{"te", unusual}},
	4:  {{"host", host}, {"date", date}},
	6:  {{"expect", unusual}, {"pragma", pragma}},
	7:  {{"upgrade", unusual}, {"trailer", unusual}},
	9:  {{"forwarded", forwarded}},
	10: {{"connection", connection}, {"user-agent", userAgent}, {"keep-alive", keepAlive}},
	12: {{"content-type", contentType}},
	13: {{"cache-control", cacheControl}},
	14: {{"content-length", contentLength}},
	15: {{"x-forwarded-for", forwarded}},
	16: {{"x-forwarded-host", forwarded}, {"proxy-connection", unusual}},
	17: {{"transfer-encoding", transferEncoding}, {"x-forwarded-proto", forwarded}},
	18: {{"proxy-authenticate", unusual}},
	19: {{"proxy-authorization", unusual}},
}

func kindOf(name []byte) kind {
	if len(name) < len(known) {
		for _, field := range known[len(name)] {
			if is(name, field.name) {
				return field.kind
			}
		}
	}
	return other
}

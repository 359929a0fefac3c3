package spec

// form is the form of a value in a document.
type form uint8

const (
	textForm form = iota
	integerForm
	flagForm
	listForm
	recordForm
	eitherForm
)

// shape describes a value for those who do not read it: the schema, and the
// comparison of two specs.
type shape struct {
	form      form
	numbers   bool     // of text: a number may stand for its text
	flags     bool     // of text: true and false may stand for their text
	pattern   string   // of text
	choices   []string // of text: these and no others
	low, high int64    // of an integer
	items     *shape   // of a list; of a record whose keys are free
	keys      string   // pattern of a record's free keys
	identity  []string // of a list of records: the fields that tell them apart
	numbered  string   // of a list of records: the field that does so where it is a number
	fields    []property
	either    []shape
}

// property is one field of a record.
type property struct {
	name, doc string
	required  bool
	replaces  bool // a change of it needs new instances
	only      kinds
	shape     shape
	preset    Node // the default
	hasPreset bool
}

// property returns the field of that name.
func (s shape) property(name string) (property, bool) {
	for _, p := range s.fields {
		if p.name == name {
			return p, true
		}
	}
	for _, option := range s.either {
		if p, ok := option.property(name); ok {
			return p, true
		}
	}
	if s.items != nil {
		return property{name: name, shape: *s.items}, true
	}
	return property{}, false
}

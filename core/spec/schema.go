package spec

import "strconv"

// Schema returns the JSON Schema, draft 2020-12, of a document. Its fields,
// limits and defaults are those that Decode goes by.
func Schema() string {
	root := documentRule().shape
	node := Node{Kind: Map}.
		with("$schema", textNode("https://json-schema.org/draft/2020-12/schema")).
		with("title", textNode("aloft spec")).
		with("description", textNode("What an operator asks aloft for: a service, job, daemon or cron."))
	node.Entries = append(node.Entries, root.schema().Entries...)
	var one, restrictions []Node
	for _, k := range allKinds() {
		required := Node{}.with("required", textNodes(k.String()))
		one = append(one, required)
		if k == Cron {
			required = Node{}.with("required", textNodes(k.String(), "schedule"))
			one[len(one)-1] = required
		}
		rest := Node{}.with("properties", root.refused(k))
		restrictions = append(restrictions,
			Node{}.with("if", Node{}.with("required", textNodes(k.String()))).with("then", rest))
	}
	node = node.with("oneOf", listNode(one...)).with("allOf", listNode(restrictions...))
	return toJSON(node)
}

// schema returns the schema of a value of the shape.
func (s shape) schema() Node {
	node := Node{Kind: Map}
	switch s.form {
	case textForm:
		return s.textSchema()
	case integerForm:
		return node.with("type", textNode("integer")).
			with("minimum", bareNode(strconv.FormatInt(s.low, 10))).
			with("maximum", bareNode(strconv.FormatInt(s.high, 10)))
	case flagForm:
		return node.with("type", textNode("boolean"))
	case listForm:
		return node.with("type", textNode("array")).with("items", s.items.schema())
	case eitherForm:
		var options []Node
		for _, option := range s.either {
			options = append(options, option.schema())
		}
		return node.with("anyOf", listNode(options...))
	default:
		return s.recordSchema()
	}
}

func (s shape) textSchema() Node {
	types := textNodes("string")
	if s.numbers {
		types.Items = append(types.Items, textNode("number"))
	}
	if s.flags {
		types.Items = append(types.Items, textNode("boolean"))
	}
	kind := types
	if len(types.Items) == 1 {
		kind = types.Items[0]
	}
	node := Node{}.with("type", kind)
	if s.pattern != "" {
		node = node.with("pattern", textNode(s.pattern))
	}
	if len(s.choices) > 0 {
		node = node.with("enum", textNodes(s.choices...))
	}
	return node
}

func (s shape) recordSchema() Node {
	node := Node{}.with("type", textNode("object"))
	properties, required := Node{Kind: Map}, []string(nil)
	for _, p := range s.fields {
		inner := Node{}.with("description", textNode(p.doc))
		inner.Entries = append(inner.Entries, p.shape.schema().Entries...)
		if p.hasPreset {
			inner = inner.with("default", p.preset)
		}
		properties = properties.with(p.name, inner)
		if p.required {
			required = append(required, p.name)
		}
	}
	if len(s.fields) > 0 {
		node = node.with("properties", properties)
	}
	if len(required) > 0 {
		node = node.with("required", textNodes(required...))
	}
	if s.items == nil {
		return node.with("additionalProperties", bareNode("false"))
	}
	return node.
		with("propertyNames", Node{}.with("pattern", textNode(s.keys))).
		with("additionalProperties", s.items.schema())
}

// refused returns the properties that a spec of kind k may not have.
func (s shape) refused(k Kind) Node {
	node := Node{Kind: Map}
	for _, p := range s.fields {
		if !p.only.has(k) {
			node = node.with(p.name, bareNode("false"))
			continue
		}
		if inner := p.shape.refused(k); len(inner.Entries) > 0 {
			node = node.with(p.name, Node{}.with("properties", inner))
		}
	}
	return node
}

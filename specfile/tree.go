package specfile

import (
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/aloft-run/aloft/core/spec"
)

// node returns what the parser found in core's terms.
func (c chunk) node(n ast.Node, depth int) (spec.Node, error) {
	if depth > depthMax {
		return spec.Node{}, c.problem(n.GetToken(), "lists and maps stand more than %d deep in each other", depthMax)
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return c.mapping(n, depth)
	case *ast.MappingValueNode:
		return c.mapping(ast.Mapping(n.Start, false, n), depth)
	case *ast.SequenceNode:
		return c.sequence(n, depth)
	case *ast.LiteralNode:
		return c.scalar(n.Start, n.Value.Value, true), nil
	case *ast.StringNode:
		quoted := n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
		return c.scalar(n.Token, n.Value, quoted), nil
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return c.scalar(n.GetToken(), n.GetToken().Value, false), nil
	case *ast.NullNode:
		null := c.scalar(n.Token, "", false)
		null.Kind = spec.Null
		return null, nil
	default:
		return spec.Node{}, c.problem(n.GetToken(), "this is not taken; want a text, number, flag, list or map")
	}
}

func (c chunk) scalar(t *token.Token, value string, quoted bool) spec.Node {
	node := spec.Node{Kind: spec.Scalar, Value: value, Quoted: quoted}
	node.Line, node.Column = c.place(t)
	return node
}

func (c chunk) place(t *token.Token) (line, column int) {
	return c.before + t.Position.Line, max(1, t.Position.Column)
}

func (c chunk) mapping(n *ast.MappingNode, depth int) (spec.Node, error) {
	node := spec.Node{Kind: spec.Map}
	node.Line, node.Column = c.place(n.Start)
	for i, value := range n.Values {
		key, err := c.node(value.Key, depth+1)
		if err != nil {
			return spec.Node{}, err
		}
		if i == 0 && !n.IsFlowStyle { // the token of a block is its first colon
			node.Line, node.Column = key.Line, key.Column
		}
		inner, err := c.node(value.Value, depth+1)
		if err != nil {
			return spec.Node{}, err
		}
		node.Entries = append(node.Entries, spec.Entry{Key: key, Value: inner})
	}
	return node, nil
}

func (c chunk) sequence(n *ast.SequenceNode, depth int) (spec.Node, error) {
	node := spec.Node{Kind: spec.List}
	node.Line, node.Column = c.place(n.Start)
	for _, value := range n.Values {
		item, err := c.node(value, depth+1)
		if err != nil {
			return spec.Node{}, err
		}
		node.Items = append(node.Items, item)
	}
	return node, nil
}

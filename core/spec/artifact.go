package spec

import (
	"errors"
	"strings"
)

func artifactRule() rule[Artifact] {
	r := record(
		Artifact{},
		field[Artifact]{
			name: "url", doc: "Where from: http, https or file.", required: true,
			rule: at(addressRule(), func(a *Artifact) *string { return &a.URL }),
		},
		field[Artifact]{
			name: "sha256", doc: "64 hex digits that the content must have; without them any content is taken.",
			rule: at(digestRule(), func(a *Artifact) *string { return &a.SHA256 }),
		},
		field[Artifact]{
			name: "dest", doc: "Path inside the sandbox; without it, the top.",
			rule: at(insideRule(), func(a *Artifact) *string { return &a.Dest }),
		},
		field[Artifact]{
			name: "unpack", noDefault: true,
			doc:  "Unpack into dest. The default is true for URLs that end in .tar.gz, .tgz or .zip.",
			rule: at(flagRule(), func(a *Artifact) *bool { return &a.Unpack }),
		},
		field[Artifact]{
			name: "executable", doc: "Give the file mode 0755.",
			rule: at(flagRule(), func(a *Artifact) *bool { return &a.Executable }),
		},
	)
	read := r.read
	r.read = func(d *decoder, field string, n Node, into *Artifact) {
		read(d, field, n, into)
		if !d.given(field + ".unpack") {
			into.Unpack = isArchive(into.URL)
		}
		if into.Unpack && into.Executable {
			d.problemAt(field+".executable", "makes no sense for an archive, whose files keep their modes; leave it out, or set unpack: false")
		}
	}
	return r
}

// addressRule returns a rule for where an artifact comes from.
func addressRule() rule[string] {
	return textLeaf("a URL that begins with https://, http:// or file:///", "^(https?://[^/]|file:///)", checkURL).quoting()
}

func checkURL(url string) error {
	scheme, rest, _ := strings.Cut(url, "://")
	switch {
	case !isPlain(url):
		return errors.New("it has a space or a character that cannot be seen")
	case scheme == "file" && strings.HasPrefix(rest, "/") && rest != "/":
		return nil
	case (scheme == "http" || scheme == "https") && rest != "" && !strings.ContainsAny(rest[:1], "/?#:"):
		return nil
	default:
		return errForm
	}
}

// digestRule returns a rule for a SHA-256, kept in lower case.
func digestRule() rule[string] {
	const digits = 64
	l := leaf[string]{
		want:  "64 hex digits",
		shape: shape{form: textForm, pattern: "^[0-9a-fA-F]{64}$"},
		parse: func(text string) (string, error) {
			low := strings.ToLower(text)
			if len(low) != digits || strings.Trim(low, "0123456789abcdef") != "" {
				return "", errForm
			}
			return low, nil
		},
		print: func(text string) string { return text },

		numbersToo: true,
	}
	return optional(l.quoting())
}

// isArchive reports whether the URL ends as archives do.
func isArchive(url string) bool {
	path, _, _ := strings.Cut(url, "#")
	path, _, _ = strings.Cut(path, "?")
	path = strings.ToLower(path)
	return strings.HasSuffix(path, ".tar.gz") || strings.HasSuffix(path, ".tgz") || strings.HasSuffix(path, ".zip")
}

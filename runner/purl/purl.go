// Package purl writes package URLs.
package purl

import (
	"fmt"
	"strings"
)

// New is the package URL of a package as
// https://github.com/package-url/purl-spec has it: the parts of the namespace
// are separated by slashes; namespace and version may be empty. Qualifiers are
// keys and values in turn, in the order of their keys; those without a value
// are left out.
func New(kind, namespace, name, version string, qualifiers ...string) string {
	var b strings.Builder
	b.WriteString("pkg:" + kind + "/")
	for part := range strings.SplitSeq(namespace, "/") {
		if part != "" {
			b.WriteString(escape(part) + "/")
		}
	}
	b.WriteString(escape(name))
	if version != "" {
		b.WriteString("@" + escape(version))
	}
	separator := "?"
	for i := 0; i+1 < len(qualifiers); i += 2 {
		if qualifiers[i+1] != "" {
			b.WriteString(separator + qualifiers[i] + "=" + escape(qualifiers[i+1]))
			separator = "&"
		}
	}
	return b.String()
}

// escape percent-encodes what is outside RFC 3986's unreserved characters and
// ":".
func escape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~:", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

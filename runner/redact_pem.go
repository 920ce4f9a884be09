package runner

import (
	"strings"
)

// maxPEM bounds a private key in text, in bytes: one of RSA with 16384 bits
// takes 13,000.
const maxPEM = 32 << 10

const pemBegin, pemEnd = "-----BEGIN ", "-----END "

var (
	// pemLabel is what follows pemBegin and pemEnd of a private key, RFC 7468,
	// and of OpenSSH's and OpenPGP's.
	pemLabel = lazy(`^[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----`)
	// pemBody is how far a key goes that has no end, its lines escaped or not.
	pemBody = lazy(`^(?:[A-Za-z0-9+/=\s]|\\[nr])*`)
	// pemText tells a key from the mere words that begin one.
	pemText = lazy(`[A-Za-z0-9+/]{16}`)
)

// withoutPEM takes out private keys, those that are cut off too.
func (r *Redactor) withoutPEM(s string) string {
	var clean strings.Builder
	done := 0
	for at := 0; ; {
		begin := strings.Index(s[at:], pemBegin)
		if begin < 0 {
			break
		}
		begin += at
		at = begin + len(pemBegin)
		label := pemLabel().FindString(s[at:min(len(s), at+80)])
		if label == "" {
			continue
		}
		body := at + len(label)
		end := pemEndOf(s, body)
		if !pemText().MatchString(s[body:end]) {
			continue
		}
		clean.WriteString(s[done:begin])
		clean.WriteString(r.mark(s[begin:end]))
		done, at = end, end
	}
	return clean.String() + s[done:]
}

// pemEndOf is where a key ends whose body begins at body.
func pemEndOf(s string, body int) int {
	window := s[body:min(len(s), body+maxPEM)]
	end := strings.Index(window, pemEnd)
	next := strings.Index(window, pemBegin)
	if end >= 0 && (next < 0 || end < next) {
		label := end + len(pemEnd)
		return body + label + len(pemLabel().FindString(window[label:min(len(window), label+80)]))
	}
	return body + len(pemBody().FindString(window))
}

package runner

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths, in bytes, of what is taken for a secret by its randomness alone: what
// is shorter may be a name, what is longer is data.
const (
	minRandom = 20
	maxRandom = 128
)

// withoutRandom takes out what looks drawn at random.
func (r *Redactor) withoutRandom(s string) string {
	var clean strings.Builder
	done := 0
	for from := 0; from < len(s); {
		to := from
		for to < len(s) && isTokenByte(s[to]) {
			to++
		}
		if start := secretAt(s, from, to); start < to {
			clean.WriteString(s[done:start])
			clean.WriteString(r.mark(s[start:to]))
			done = to
		}
		from = to + 1
	}
	if done == 0 {
		return s
	}
	clean.WriteString(s[done:])
	return clean.String()
}

// secretAt is where in s[from:to] begins what looks drawn at random, and is
// nothing harmless that does; to if it is nowhere.
func secretAt(s string, from, to int) int {
	if isDigest(s[:from], s[from:to]) {
		return to
	}
	if text := s[from:to]; strings.Contains(text, "/") && !isBase64(text) {
		// A path; its last part may be a capability all the same.
		from += strings.LastIndexByte(text, '/') + 1
	}
	if text := s[from:to]; !isRandom(text) || hexPart().MatchString(text) || isData(s, from, to) {
		return to
	}
	return from
}

// isBase64 tells whether text with slashes in it is as long as what keys are
// written as, rather than a path.
func isBase64(text string) bool {
	return slices.Contains([]int{22, 32, 40, 43, 54, 64, 86}, len(text)) && !strings.ContainsAny(text, "_-") && !hexPart().MatchString(text)
}

// hexPart matches a digest in a name.
var hexPart = lazy(`(?:^|[/_-])[0-9a-f]{16,}(?:[/_-]|$)`)

// isTokenByte tells the bytes of base64 in both alphabets, padding aside.
func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '_' || c == '-'
}

// classOf is small letter, capital, digit, or 0.
func classOf(c byte) int {
	switch {
	case 'a' <= c && c <= 'z':
		return 1
	case 'A' <= c && c <= 'Z':
		return 2
	case '0' <= c && c <= '9':
		return 3
	}
	return 0
}

// isRandom tells whether small letters, capitals and digits follow each other
// as they do when drawn at random: of 62 characters, two neighbours differ in
// kind 62 times in 100, and four letters of ten look like part of a word; in
// names made of words it is less than 40, and seven of ten or more. So chosen,
// one in ten of random texts of 20 characters passes for a name, and one in 40
// of those of 40. Hexadecimal digits are never random: digests, commits and
// UUIDs are written so.
func isRandom(text string) bool {
	if len(text) < minRandom || len(text) > maxRandom {
		return false
	}
	var count [4]int
	changes, pairs := 0, 0
	for i := range len(text) {
		class := classOf(text[i])
		count[class]++
		if i > 0 && class != 0 && classOf(text[i-1]) != 0 {
			pairs++
			if class != classOf(text[i-1]) {
				changes++
			}
		}
	}
	if count[0]*8 > len(text) || count[1] == 0 || count[2] == 0 || count[3] == 0 || pairs < minRandom*3/4 || 100*changes < 35*pairs {
		return false
	}
	inWords := 0
	for _, word := range wordForm().FindAllString(text, -1) {
		inWords += len(word)
	}
	return 100*inWords < 65*(count[1]+count[2])
}

// wordForm matches what may be a word, in small letters or with a capital in front.
var wordForm = lazy(`[A-Z][a-z]{2,}|[a-z]{3,}`)

var beforeDigest = lazy(`(?i)(?:sha-?(?:1|2|224|256|384|512)|md5|blake2[bs]?|blake3|digest|checksum|etag|integrity|hash)[-_:= "'(]{0,4}$`)

// isDigest tells whether word is a digest in base64, which says so itself or
// before itself, as in RECORD files, in SSH fingerprints and in
// subresource integrity.
func isDigest(before, word string) bool {
	if strings.HasPrefix(word, "sha256") || strings.HasPrefix(word, "sha512") || strings.HasPrefix(word, "sha384") || strings.HasPrefix(word, "_Z") {
		return true // _Z: the mangled name of a C++ function
	}
	return beforeDigest().MatchString(before[max(0, len(before)-16):])
}

// isData tells whether s[from:to] is base64 of text, of a file or of a part of
// one, rather than of something drawn at random: it decodes to characters,
// begins as a file of a known kind does, or is a line of several.
func isData(s string, from, to int) bool {
	if strings.HasSuffix(s[:from], "base64,") || lineBefore().MatchString(s[max(0, from-maxRandom):from]) || lineAfter().MatchString(s[to:min(len(s), to+maxRandom)]) {
		return true
	}
	text := s[from:to]
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		data, err = base64.RawURLEncoding.DecodeString(text)
	}
	return err == nil && (isReadable(string(data)) || slices.ContainsFunc(magics, func(magic string) bool { return strings.HasPrefix(string(data), magic) }))
}

// magics begin a PNG, GIF, JPEG, zip, gzip, PDF, ELF, WebAssembly, pickle and
// ONNX file.
var magics = []string{"\x89PNG", "GIF8", "\xff\xd8\xff", "PK\x03\x04", "\x1f\x8b", "%PDF", "\x7fELF", "\x00asm", "\x80\x04\x95", "\x08\x07\x12", "\x08\x08\x12"}

// lineBefore and lineAfter match another line of base64.
var (
	lineBefore = lazy(`[A-Za-z0-9+/]{48,}["']?,?\s*\n\s*["']?$`)
	lineAfter  = lazy(`^["']?,?\s*\n\s*["']?[A-Za-z0-9+/]{48,}`)
)

// isReadable tells whether s is text.
func isReadable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && !unicode.IsSpace(r) })
}

// isOpaque tells whether s is no word: long, of letters and digits alone.
func isOpaque(s string) bool {
	return len(s) >= minRandom && !strings.ContainsFunc(s, func(r rune) bool { return r > 127 || !isTokenByte(byte(r)) }) && strings.ContainsAny(s, "0123456789") && !strings.ContainsAny(s, "_-/")
}

// isWord tells whether s is a word of letters.
func isWord(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && r != '-' && r != '.' })
}

// isDistinct tells whether a secret is long and odd enough to be sought in
// other texts: a word, a number or a path stands there for other reasons.
func isDistinct(secret string) bool {
	switch {
	case len(secret) < minKnown, isHarmless(secret):
		return false
	case isPhrase().MatchString(secret):
		return len(secret) >= 2*minKnown
	case strings.HasPrefix(secret, "/"), strings.HasPrefix(secret, "~"), strings.HasPrefix(secret, "$"):
		return false
	}
	var seen [4]bool
	for i := range len(secret) {
		seen[classOf(secret[i])] = true
	}
	kinds := 0
	for _, kind := range seen {
		if kind {
			kinds++
		}
	}
	return kinds >= 2 && !isWords().MatchString(secret) || len(secret) >= 2*minKnown && seen[3]
}

// isPhrase matches words with space between them.
var isPhrase = lazy(`^[\pL']+(?:\s+[\pL']+)+$`)

// isWords matches small or capitalised words joined by punctuation, a version
// at their end: such names stand in many places.
var isWords = lazy(`^[A-Z]?[a-z]+(?:[._:/@-]?[A-Z]?[a-z]+)*(?:[._@-]?v?[0-9]{1,3}(?:\.[0-9]+)*)?$`)

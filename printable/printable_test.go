package printable

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestString(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"plain", "resnet18.onnx", "resnet18.onnx"},
		{"letters of the world", "Zoë 模型 модель 🙂", "Zoë 模型 модель 🙂"},
		{"combining mark", "e\u0301", "e\u0301"},
		{"Windows path", `C:\models\n.onnx`, `C:\models\n.onnx`},
		{"replacement character itself", "\ufffd", "\ufffd"},
		{"line end", "a\nb\r\tc", `a\nb\r\tc`},
		{"escape sequence", "\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		{"NUL, BEL, DEL", "\x00\x07\x7f", `\x00\x07\x7f`},
		{"C1", "\u0080\u009b31m\u009f", `\u0080\u009b31m\u009f`},
		{"C1 as raw byte", "\x9b31m", `\x9b31m`},
		{"cut UTF-8", "a\xe2\x80", `a\xe2\x80`},
		{"encoded surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
		{"bidi override", "a\u202etxt.exe", `a\u202etxt.exe`},
		{"bidi isolates and marks", "\u2066\u2067\u2068\u2069\u200e\u200f\u061c", `\u2066\u2067\u2068\u2069\u200e\u200f\u061c`},
		{"zero width", "a\u200b\u200c\u200d\u2060\ufeffb", `a\u200b\u200c\u200d\u2060\ufeffb`},
		{"soft hyphen", "a\u00adb", `a\u00adb`},
		{"separators", "a\u2028b\u2029c", `a\u2028b\u2029c`},
		{"other spaces", "a\u00a0b\u3000c", `a\u00a0b\u3000c`},
		{"fillers", "\u3164\u115f\uffa0\u034f\u2800", `\u3164\u115f\uffa0\u034f\u2800`},
		{"variation selector", "a\ufe0f\U000e0100", `a\ufe0f\U000e0100`},
		{"tag characters", "\U000e0041", `\U000e0041`},
		{"private use", "\ue000\U000f0000", `\ue000\U000f0000`},
		{"noncharacter", "\uffff", `\uffff`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := String(tt.in); got != tt.want {
				t.Errorf("String(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestLines(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"unix", "if x:\n\ty()\n", "if x:\n\ty()\n"},
		{"windows", "a\r\nb\r\n", "a\nb\n"},
		{"lone carriage return", "shown\rhidden", `shown\rhidden`},
		{"two carriage returns", "a\r\r\nb", "a\\r\nb"},
		{"form feed", "a\fb", `a\x0cb`},
		{"bidi", "a\u202e\nb", "a\\u202e\nb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Lines(tt.in); got != tt.want {
				t.Errorf("Lines(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// FuzzPrintable holds what the callers rely on, whatever the bytes: nothing
// that acts or hides comes out, visible text goes through unchanged, and
// quoting twice is quoting once.
func FuzzPrintable(f *testing.F) {
	seeds := []string{"a\x1b[2J", "\u202e", "\xff\xfe", "x\r\ny\t", "\U000e0001", `\x1b`}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, got := range map[string]string{"String": String(s), "Lines": Lines(s)} {
			if !utf8.ValidString(got) {
				t.Fatalf("%s(%q) = %q is not UTF-8", name, s, got)
			}
			rest := got
			if name == "Lines" {
				rest = strings.NewReplacer("\n", "", "\t", "").Replace(got)
			}
			for _, r := range rest {
				if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
					t.Fatalf("%s(%q) = %q lets %U through", name, s, got, r)
				}
			}
		}
		if once := String(s); String(once) != once {
			t.Fatalf("String(%q) changes when quoted again", s)
		}
		if once := Lines(s); Lines(once) != once {
			t.Fatalf("Lines(%q) changes when quoted again", s)
		}
		if ascii := strings.Map(onlyASCII, s); String(ascii) != ascii {
			t.Fatalf("String(%q) changes visible ASCII", ascii)
		}
	})
}

func onlyASCII(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}

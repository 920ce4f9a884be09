package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// inUTF8 is what every readable script below says.
const inUTF8 = "# Größe\nprint('Größe')\n"

var scripts = []struct {
	name, data string
	// encoding, or in problem a part of why there is no text.
	encoding, problem string
}{
	{"UTF-8", inUTF8, "utf-8", ""},
	{"empty", "", "utf-8", ""},
	{"UTF-8 with a mark", "\xef\xbb\xbf" + inUTF8, "utf-8", ""},
	{"UTF-8, declared", "#!/usr/bin/python3\n# -*- coding: utf-8 -*-\n" + inUTF8, "utf-8", ""},
	{"Latin-1", "# coding: latin-1\n# Gr\xf6\xdfe\nprint('Gr\xf6\xdfe')\n", "latin-1", ""},
	{"Latin-1 in a shell script", "#!/bin/sh\n# vim: set fileencoding=iso-8859-1 :\n# Gr\xf6\xdfe\nprint('Gr\xf6\xdfe')\n", "iso-8859-1", ""},
	{"ISO 8859-15", "# -*- coding: iso8859-15 -*-\n# Gr\xf6\xdfe\nprint('Gr\xf6\xdfe')\n", "iso8859-15", ""},
	{"Windows", "# -*- coding: cp1252 -*-\n# Gr\xf6\xdfe\nprint('Gr\xf6\xdfe')\n", "cp1252", ""},
	{"Shift JIS", "# coding: shift_jis\nprint('\x93\xfa\x96{')\n", "shift_jis", ""},
	{"EUC-JP", "# coding: euc_jp\nprint('\xc6\xfc\xcb\xdc')\n", "euc_jp", ""},
	{"GBK", "# coding: gbk\nprint('\xc8\xd5\xb1\xbe')\n", "gbk", ""},
	{"KOI8-R", "# coding: koi8-r\nprint('\xd4\xc5\xd3\xd4')\n", "koi8-r", ""},
	{"UTF-16, little-endian", "\xff\xfe#\x00 \x00\xf6\x00\n\x00", "utf-16le", ""},
	{"UTF-16, big-endian", "\xfe\xff\x00#\x00 \x00\xf6\x00\n", "utf-16be", ""},
	{"UTF-32", "\xff\xfe\x00\x00#\x00\x00\x00\xf6\x00\x00\x00", "utf-32le", ""},
	{"declared too late", "import x\nimport y\n# coding: latin-1\n# Gr\xf6\xdfe\n", "", "not in UTF-8, and declares no other"},
	{"declared after code", "import x\n# coding: latin-1\n# Gr\xf6\xdfe\n", "", "not in UTF-8, and declares no other"},
	{"not declared", "# Gr\xf6\xdfe\n", "", "not in UTF-8, and declares no other"},
	{"declared wrongly", "# coding: utf-8\n# Gr\xf6\xdfe\n", "", "not in UTF-8"},
	{"declared as ASCII", "# coding: ascii\n# Gr\xf6\xdfe\n", "", "not in the encoding ascii"},
	{"wrong in Shift JIS", "# coding: shift_jis\n# \x80\xff\n", "", "not in the encoding shift_jis"},
	{"unknown", "# coding: klingon\n# x\n", "", `"klingon", which convrun does not know`},
	{"half of UTF-16", "\xff\xfe#\x00 ", "", "not in the encoding utf-16le"},
	{"program", "\x7fELF\x02\x01\x01\x00\x00", "", "zero bytes"},
	{"junk", "\xc3\x28\xa0\xa1", "", "not in UTF-8"},
}

func TestScriptText(t *testing.T) {
	for _, s := range scripts {
		text, encoding, err := ScriptText([]byte(s.data))
		if encoding != s.encoding && s.problem == "" || (err == nil) != (s.problem == "") || err != nil && !strings.Contains(err.Error(), s.problem) {
			t.Errorf("%s: encoding %q, %v", s.name, encoding, err)
		}
		if strings.Contains(s.data, "print('Gr") && s.problem == "" && !strings.HasSuffix(text, inUTF8) {
			t.Errorf("%s: %q", s.name, text)
		}
		if !utf8.ValidString(text) || strings.ContainsRune(text, '\ufeff') || err != nil && text != "" {
			t.Errorf("%s: %q", s.name, text)
		}
	}
}

// TestScriptTextAsPythonReadsIt compares with tokenize.open, as far as that
// knows the encoding: it reads no UTF-16, and takes what no mark tells.
func TestScriptTextAsPythonReadsIt(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	compared := 0
	for _, s := range scripts {
		text, encoding, err := ScriptText([]byte(s.data))
		if strings.HasPrefix(encoding, "utf-16") || strings.HasPrefix(encoding, "utf-32") || strings.Contains(s.data, "\x00") {
			continue
		}
		path := filepath.Join(t.TempDir(), "script.py")
		if err := os.WriteFile(path, []byte(s.data), 0o600); err != nil {
			t.Fatal(err)
		}
		want, pythonErr := exec.Command(python, "-c", "import sys, tokenize\nsys.stdout.buffer.write(tokenize.open(sys.argv[1]).read().encode())", path).Output()
		if (err == nil) != (pythonErr == nil) || err == nil && text != string(want) {
			t.Errorf("%s: %q (%v), Python reads %q (%v)", s.name, text, err, want, pythonErr)
		}
		compared++
	}
	if compared < 15 {
		t.Errorf("%d compared", compared)
	}
}

func TestNotebookSources(t *testing.T) {
	text, err := NotebookSources([]byte(`{"cells": [{"cell_type": "markdown", "source": "Export"}, {"cell_type": "code", "source": ["import torch\n", "x = 1"], "outputs": [{"data": {"image/png": "AAAA"}}]}, {"cell_type": "code", "source": 5}], "nbformat": 4}`))
	if want := "# cell 1 (markdown)\nExport\n# cell 2 (code)\nimport torch\nx = 1\n# cell 3 (code)\n\n"; err != nil || text != want {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := NotebookSources([]byte("[1")); err == nil {
		t.Error("what is no JSON has sources")
	}
}

func FuzzScriptText(f *testing.F) {
	for _, s := range scripts {
		f.Add([]byte(s.data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text, encoding, err := ScriptText(data)
		if !utf8.ValidString(text) || err == nil && encoding == "" || err != nil && text != "" {
			t.Errorf("%q gives %q, %q, %v", data, text, encoding, err)
		}
	})
}

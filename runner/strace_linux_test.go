package runner

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// straced is one finished system call in the output of strace -f -y, strace(1).
type straced struct {
	name string
	// args are as printed; result is what follows the equals sign.
	args   []string
	result string
}

func (c straced) failed() bool { return strings.HasPrefix(c.result, "-1") }

// isUndecided tells whether the thread ended within the call, so that nobody
// knows whether the kernel had performed it.
func (c straced) isUndecided() bool { return strings.HasPrefix(c.result, "?") }

var (
	straceLine     = regexp.MustCompile(`^(\d+)(?:<[^>]*>)? +(.*)$`)
	straceEnd      = regexp.MustCompile(`^\+\+\+ .* \+\+\+$|^--- .* ---$`)
	straceResumed  = regexp.MustCompile(`^<\.\.\. (\w+) resumed>(.*)$`)
	straceReplaced = regexp.MustCompile(`^\+\+\+ superseded by execve in pid (\d+)`)
	straceCall     = regexp.MustCompile(`^(\w+)\(`)
	straceResult   = regexp.MustCompile(`^\) += (.+)$`)
)

// readStrace gives the calls in the order in which they ended, and last those
// that did not. A line that it does not understand is an error.
func readStrace(output io.Reader) (calls []straced, err error) {
	begun := map[string]string{} // the first half of a call, by thread
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := straceLine.FindStringSubmatch(lines.Text())
		if line == nil {
			return nil, fmt.Errorf("no thread begins the line %q", lines.Text())
		}
		thread, text := line[1], line[2]
		if replaced := straceReplaced.FindStringSubmatch(text); replaced != nil {
			begun[thread] = begun[replaced[1]] // its execve ends under the leader's number
			delete(begun, replaced[1])
		}
		if straceEnd.MatchString(text) {
			continue
		}
		if half, unfinished := strings.CutSuffix(text, " <unfinished ...>"); unfinished {
			begun[thread] = half
			continue
		}
		if resumed := straceResumed.FindStringSubmatch(text); resumed != nil {
			if !strings.HasPrefix(begun[thread], resumed[1]+"(") {
				return nil, fmt.Errorf("what begins the call that ends with %q?", lines.Text())
			}
			text = begun[thread] + resumed[2]
			delete(begun, thread)
		}
		call, err := parseStraced(text)
		if err != nil {
			return nil, err
		}
		calls = append(calls, call)
	}
	for _, half := range begun {
		call, err := parseStraced(half + ") = ?")
		if err != nil {
			return nil, err
		}
		calls = append(calls, call)
	}
	return calls, lines.Err()
}

func parseStraced(text string) (call straced, err error) {
	name := straceCall.FindStringSubmatch(text)
	if name == nil {
		return call, fmt.Errorf("no call: %q", text)
	}
	call.name = name[1]
	rest := text[len(name[0]):]
	for {
		end := argumentEnd(rest)
		if end < 0 {
			return call, fmt.Errorf("the call has no end: %q", text)
		}
		call.args = append(call.args, strings.TrimSpace(rest[:end]))
		if rest[end] == ')' {
			rest = rest[end:]
			break
		}
		rest = rest[end+1:]
	}
	result := straceResult.FindStringSubmatch(rest)
	if result == nil {
		return call, fmt.Errorf("the call has no result: %q", text)
	}
	call.result = result[1]
	return call, nil
}

// argumentEnd finds the comma or the parenthesis after an argument; -1 is none.
func argumentEnd(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '<': // the path behind a descriptor, in which > is escaped
			length := strings.IndexByte(text[i:], '>')
			if length < 0 {
				return -1
			}
			i += length
		case '(', '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',', ')':
			if depth == 0 {
				return i
			}
			if c == ')' {
				depth--
			}
		}
	}
	return -1
}

var straceString = regexp.MustCompile(`^"(.*)"$`)

// text is the string that an argument stands for.
func (c straced) text(argument int) (string, error) {
	quoted := straceString.FindStringSubmatch(c.args[argument])
	if quoted == nil {
		return "", fmt.Errorf("argument %d of %s is no whole string: %q", argument, c.name, c.args[argument])
	}
	return unescapeStrace(quoted[1])
}

var straceDescriptor = regexp.MustCompile(`^(?:AT_FDCWD|\d+)<(.*)>(\(deleted\))?$`)

// behind is the path behind a descriptor, argument or result.
func behind(descriptor string) (path string, err error) {
	found := straceDescriptor.FindStringSubmatch(descriptor)
	if found == nil {
		return "", fmt.Errorf("no path behind the descriptor %q", descriptor)
	}
	return unescapeStrace(found[1])
}

var straceEscape = regexp.MustCompile(`\\([0-7]{1,3}|x[0-9a-f]{2}|.)`)

func unescapeStrace(text string) (plain string, err error) {
	letters := map[string]string{"n": "\n", "t": "\t", "r": "\r", "v": "\v", "f": "\f", `"`: `"`, `\`: `\`}
	plain = straceEscape.ReplaceAllStringFunc(text, func(escape string) string {
		if letter, ok := letters[escape[1:]]; ok {
			return letter
		}
		number, parseErr := strconv.ParseUint("0"+escape[1:], 0, 8)
		if parseErr != nil {
			err = fmt.Errorf("an unknown escape in %q", text)
		}
		return string([]byte{byte(number)})
	})
	return plain, err
}

func TestReadStrace(t *testing.T) {
	for text, want := range map[string]string{
		`1 openat(AT_FDCWD</w>, "a,b)\"", O_RDONLY) = 3</w/a,b)">`:                                                                                  `openat|AT_FDCWD</w>|"a,b)\""|O_RDONLY|3</w/a,b)">`,
		`1<sh> unlink("x") = -1 ENOENT (No such file)`:                                                                                              `unlink|"x"|-1 ENOENT (No such file)`,
		"1 creat(\"x\", 0666 <unfinished ...>\n1 <... creat resumed>) = 3</x>":                                                                      `creat|"x"|0666|3</x>`,
		"7 execve(\"/x\", [\"x\", \"y\"], 0x7f /* 3 vars */ <unfinished ...>\n5 +++ superseded by execve in pid 7 +++\n5 <... execve resumed>) = 0": `execve|"/x"|["x", "y"]|0x7f /* 3 vars */|0`,
		"1 --- SIGCHLD {si_signo=SIGCHLD} ---\n1 +++ exited with 0 +++":                                                                             "",
		`1 openat2(AT_FDCWD</>, "x", {flags=O_RDONLY, resolve=0}, 24) = 3</x>`:                                                                      `openat2|AT_FDCWD</>|"x"|{flags=O_RDONLY, resolve=0}|24|3</x>`,
		"1 open(\"x\", O_RDONLY <unfinished ...>\n1 +++ killed by SIGKILL +++":                                                                      `open|"x"|O_RDONLY|?`,
		"1 open(\"x\", O_RDONLY <unfinished ...>\n1 <... open resumed>) = ?":                                                                        `open|"x"|O_RDONLY|?`,
		`openat("x") = 3`:                "error",
		`1 openat("x"`:                   "error",
		`1 openat("x")`:                  "error",
		`1 openat("x) = 3`:               "error",
		`1 openat(3</x = 3`:              "error",
		`1 <... openat resumed>) = 3`:    "error",
		`1 strace: something went wrong`: "error",
	} {
		calls, err := readStrace(strings.NewReader(text))
		got := ""
		for _, call := range calls {
			got += call.name + "|" + strings.Join(call.args, "|") + "|" + call.result
		}
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s:\ngot    %s (%v)\nwanted %s", text, got, err, want)
		}
	}
	if path, err := behind(`3</w/\74\76\n\303\244>(deleted)`); err != nil || path != "/w/<>\nä" {
		t.Errorf("%q, %v", path, err)
	}
	for _, bad := range []string{"3", "3</w", `3</\q>`} {
		if path, err := behind(bad); err == nil {
			t.Errorf("%s gives %q", bad, path)
		}
	}
}

package runner

import (
	"regexp"
	"sync"
)

// lazy compiles a regular expression when it is first needed: what does not run
// a command needs none of them, and a run few.
func lazy(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

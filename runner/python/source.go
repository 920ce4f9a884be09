package python

// SourceOf names the source file that a file of bytecode stands for.
func SourceOf(path string) (string, bool) { return sourceOf(path) }

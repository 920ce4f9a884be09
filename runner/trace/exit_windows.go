package trace

import "os"

func exitOf(state *os.ProcessState) Exit { return Exit{Code: state.ExitCode()} }

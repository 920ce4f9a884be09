package runner

func endBySignal(string) int { return 1 }

package model

import "fmt"

// ledger collects what one file says about the operations.
type ledger struct {
	*Model
	hits map[Operation][]hit
}

func newLedger(m *Model) *ledger { return &ledger{m, map[Operation][]hit{}} }

func (l *ledger) hit(op Operation, status Status, mode Mode, format string, arguments ...any) {
	l.hits[op] = append(l.hits[op], hit{status, mode, fmt.Sprintf(format, arguments...)})
}

// close turns what was collected into the model's verdicts.
func (l *ledger) close() {
	for _, op := range Operations {
		l.Elimination = append(l.Elimination, judge(op, l.hits[op]))
	}
	l.sortFindings()
}

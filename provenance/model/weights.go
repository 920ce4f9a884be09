package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// storedTensor is a tensor that a file of weights names and holds.
type storedTensor struct {
	name     string
	kind     string // of its elements, in the format's words
	shape    []int64
	dtype    string
	elements int64
	// length is how many bytes the elements take, -1 when that is not known.
	length int64
	// span is where the file says that they are, from the first tensor on.
	span
}

// product is the number of elements of a shape; ok is false when a dimension
// is negative or there are more than every reader of JSON takes exactly.
func product(shape []int64) (n int64, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		if d > 0 && n > maxParameters/d {
			// A later dimension of zero still makes it none.
			if !slices.Contains(shape, 0) {
				return 0, false
			}
			return 0, true
		}
		n *= d
	}
	return n, true
}

// count adds scalars of a type to the parameters; ok is false when there are
// more than every reader of JSON takes exactly.
func (m *Model) count(dtype string, n int64) (ok bool) {
	if m.Parameters > maxParameters || n < 0 || n > maxParameters {
		return false
	}
	if n > 0 {
		m.DTypes[dtype] += n
	}
	m.Parameters += n
	return m.Parameters <= maxParameters
}

// uncounted makes the number of parameters unknown.
func (m *Model) uncounted() {
	m.Parameters = -1
	clear(m.DTypes)
}

// plainType is NumPy's name of a type that a format calls F32, I8 or the like;
// of what NumPy lacks it is the format's own.
func plainType(name string) string {
	switch name {
	case "BOOL":
		return "bool"
	case "BF16":
		return "bfloat16"
	case "":
		return "unknown"
	}
	kind, ok := map[byte]string{'F': "float", 'I': "int", 'U': "uint", 'C': "complex"}[name[0]]
	if _, err := strconv.Atoi(name[1:]); !ok || err != nil {
		return name
	}
	return kind + name[1:]
}

// packed is how many bytes elements of so many bits take, -1 when the type is
// not known.
func packed(elements int64, bits int) int64 {
	if bits == 0 || elements > (math.MaxInt64-7)/int64(bits) {
		return -1
	}
	return (elements*int64(bits) + 7) / 8
}

// layout says what is wrong with where tensors lie: they must fill the bytes
// from 0 to end one after the other, each followed by less than align bytes of
// nothing.
func layout(tensors []storedTensor, end, align int64) (problems []string) {
	sorted := slices.SortedFunc(slices.Values(tensors), func(a, b storedTensor) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.span.end, b.span.end))
	})
	at := int64(0)
	for _, t := range sorted {
		switch {
		case t.span.end < t.start:
			problems = append(problems, fmt.Sprintf("tensor %s ends before it starts", quote(t.name)))
			continue
		case t.span.end > end:
			problems = append(problems, fmt.Sprintf("tensor %s ends at byte %d of the data, which has %d", quote(t.name), t.span.end, end))
		case t.length >= 0 && t.length != t.len():
			problems = append(problems, fmt.Sprintf("tensor %s has %d bytes, its type and shape need %d", quote(t.name), t.len(), t.length))
		case t.start < at:
			problems = append(problems, fmt.Sprintf("tensor %s starts at byte %d, before the one in front of it ends", quote(t.name), t.start))
		case t.start-at >= align:
			problems = append(problems, fmt.Sprintf("%d bytes in front of tensor %s belong to none", t.start-at, quote(t.name)))
		}
		at = max(at, t.span.end)
	}
	if end-at >= align {
		problems = append(problems, fmt.Sprintf("%d bytes at the end belong to no tensor", end-at))
	}
	return problems
}

// shared says which constants have some bytes in common, but not all: equal
// ones may be the same bytes.
func shared(places []storedTensor) (problems []string) {
	sorted := slices.SortedStableFunc(slices.Values(places), func(a, b storedTensor) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.span.end, b.span.end))
	})
	var before storedTensor // the one that reaches furthest
	for _, c := range sorted {
		if c.len() == 0 {
			continue
		}
		if c.start < before.span.end && c.span != before.span {
			problems = append(problems, fmt.Sprintf("constant %s starts at byte %d, within constant %s", quote(c.name), c.start, quote(before.name)))
		}
		if c.span.end > before.span.end {
			before = c
		}
	}
	return problems
}

// misplaced makes one finding of what is wrong with where tensors lie.
func (m *Model) misplaced(problems []string) {
	switch len(problems) {
	case 0:
	case 1:
		m.find(TensorLayout, "", problems[0])
	default:
		m.find(TensorLayout, "", fmt.Sprintf("%s; and %d more", problems[0], len(problems)-1))
	}
}

// What only batch normalization keeps, in the words of torch and Keras.
var runningStatistics = words(`running_mean running_var num_batches_tracked moving_mean moving_variance`)

// What only an optimizer keeps for a weight, in the words of torch.optim. Its
// shorter words, such as "step" and "sum", name weights too.
var optimizerSlots = words(`exp_avg exp_avg_sq max_exp_avg_sq exp_inf momentum_buffer square_avg acc_delta`)

// What the state of an optimizer is commonly stored under.
var optimizerRoots = words(`optimizer optim optimizer_state optimizer_state_dict`)

func isSeparatorOfNames(r rune) bool { return r == '.' || r == '/' || r == ':' }

// isOptimizers tells from its name whether a tensor belongs to an optimizer.
func isOptimizers(name string) bool {
	parts := strings.FieldsFunc(name, isSeparatorOfNames)
	return len(parts) > 0 && (optimizerRoots[parts[0]] || optimizerSlots[parts[len(parts)-1]])
}

// normalization is the layer whose running statistics a tensor is, by its
// name; ok is false when it is none.
func normalization(name string) (layer string, ok bool) {
	at := strings.LastIndexFunc(name, isSeparatorOfNames)
	return name[:max(at, 0)], runningStatistics[name[at+1:]]
}

// judgeNames says what the names of stored tensors tell, in a format that
// holds nothing else: they can raise a doubt, but never clear one.
func (l *ledger) judgeNames(names []string) {
	layers := map[string]bool{}
	stored := ""
	for _, name := range names {
		switch layer, ok := normalization(name); {
		case isOptimizers(name):
			if stored == "" {
				stored = name
			}
		case ok && !layers[layer]:
			layers[layer] = true
			l.hit(BatchNormalization, Present, Latent, "tensor %s is kept by batch normalization; in which mode that runs is not in the file", quote(name))
		}
	}
	l.hit(Dropout, Unknown, None, "unknown: %d tensors; dropout has none, so that weights alone do not show it", len(names))
	if len(layers) == 0 {
		l.hit(BatchNormalization, Unknown, None, "unknown: none of %d tensors is named like the statistics of batch normalization, but names can differ and a layer may keep none", len(names))
	}
	l.judgeOptimizerNames(stored)
}

// judgeOptimizerNames takes the first tensor that belongs to an optimizer, or
// "" when there is none.
func (l *ledger) judgeOptimizerNames(stored string) {
	for _, op := range stateOperations {
		if stored == "" {
			l.hit(op, Absent, NotRepresentable, "the format holds named tensors alone, and none is named like an optimizer's")
		} else {
			l.hit(op, Unknown, None, "unknown: an optimizer's state is stored, such as %s, but not its settings", quote(stored))
		}
	}
	if stored != "" {
		l.find(OptimizerStored, "", quote(stored))
	}
}

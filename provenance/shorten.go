package provenance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Bounds on a payload, in bytes.
const (
	// maxInline is what a log is brought down to as long as that costs no more
	// than lists of lesser files: in base64 and signed it is below 1 MiB.
	maxInline = 720 << 10
	// maxKept is what it is brought down to at any cost, so that it can be
	// signed and read; maxPayload has room for what is added afterwards.
	maxKept = 8 << 20
)

// Shortened tells of a list that the log does not hold as a whole.
type Shortened struct {
	// List is the path of the list from the predicate, for example
	// "run.processes"; "*" stands for texts that were cut wherever they stood.
	List string `json:"list"`
	// Total is how many elements the list has, Moved how many of them stand,
	// as a whole, in the by-product alone.
	Total int `json:"total"`
	Moved int `json:"moved"`
}

// Moved is an element of a list that stands in a by-product: one line of it.
type Moved struct {
	// List is as in Shortened.
	List string `json:"list"`
	// Item is the element, as it would stand in the log.
	Item any `json:"item"`
}

// Shorten takes out of the log what it has no room for, in the order that the
// specification gives, and says so in the log. What it took out is to be
// written to a by-product; what is only cut, at the very last, is lost.
func (s *Statement) Shorten() (moved []Moved, err error) {
	lists := s.Predicate.lists()
	size, err := s.size(lists)
	if err != nil {
		return nil, err
	}
	whole := size
	size += 4096 + len(lists)*512 // what is added below, and the by-product's descriptor
	for _, pass := range []struct {
		limit int
		all   bool
	}{{maxInline, false}, {maxKept, true}} {
		for _, l := range lists {
			if excess := size - pass.limit; excess > 0 {
				size -= l.shorten(excess, pass.all)
			}
		}
	}
	for _, l := range lists {
		items := l.moved()
		if len(items) == 0 {
			continue
		}
		for _, item := range items {
			moved = append(moved, Moved{l.name(), item})
		}
		s.Predicate.Shortened = append(s.Predicate.Shortened, Shortened{List: l.name(), Total: l.total(), Moved: len(items)})
	}
	if size > maxKept {
		s.cut(whole)
	}
	return moved, nil
}

// size is the length of the payload. The lists are measured element by
// element: what is going to be moved out is never in memory as JSON.
func (s *Statement) size(lists []list) (size int, err error) {
	for _, l := range lists {
		size += l.hide()
	}
	defer func() {
		for _, l := range lists {
			l.unhide()
		}
	}()
	rest, err := encode(s)
	return size + len(rest), err
}

// list is a list of the log whose elements may be moved out.
type list interface {
	name() string
	// hide empties the list and tells the length of its elements as JSON;
	// unhide undoes it.
	hide() int
	unhide()
	// shorten moves elements out, the last first, until that many bytes are
	// gone; all moves even those that a reader needs most.
	shorten(excess int, all bool) (freed int)
	// moved are the elements that were moved out, in their order.
	moved() []any
	total() int
	// restore adds an element that was moved out; settle ends that.
	restore(item json.RawMessage) error
	settle()
}

// lists are those that can be shortened, in that order.
func (p *ConversionLog) lists() []list {
	needed := map[string]bool{p.Framework.Name: true}
	for _, call := range p.Converter.Calls {
		needed[call.Package] = true
	}
	role := func(roles ...string) func(ResourceDescriptor) bool {
		return func(d ResourceDescriptor) bool { return !slices.Contains(roles, d.Annotations.Role) }
	}
	lists := []list{
		&elements[ResourceDescriptor]{path: "inputs", items: &p.Inputs, stays: role("data"), order: byName, rest: furtherFiles},
		&elements[ResourceDescriptor]{path: "outputs", items: &p.Outputs, stays: role("other", "report", "cache"), order: byName, rest: furtherFiles},
		&elements[ResourceDescriptor]{path: "environment.libraries", items: &p.Environment.Libraries, order: byName, rest: furtherFiles},
		&elements[Process]{path: "run.processes", items: &p.Run.Processes, least: 1},
		&elements[Script]{path: "converter.scripts", items: &p.Converter.Scripts, order: byScriptName, lesser: withoutText, key: func(x Script) string { return x.URI },
			stays: func(x Script) bool { return strings.HasPrefix(x.Text, Unknown) }},
		&elements[Package]{path: "packages", items: &p.Packages, stays: func(x Package) bool { return needed[x.Name] || x.Integrity != "matches" }, order: byNameAndVersion},
		&elements[Endpoint]{path: "run.network", items: &p.Run.Network},
		&elements[string]{path: "environment.withheldVariables", items: &p.Environment.WithheldVariables},
		&elements[string]{path: "converter.command.argv", items: &p.Converter.Command.Argv, least: 1},
		&elements[Finding]{path: "findings", items: &p.Findings, stays: func(f Finding) bool { return f.Severity != "note" }, order: byFindingID},
		&elements[string]{path: "capture.notes", items: &p.Capture.Notes},
		&elements[Call]{path: "converter.calls", items: &p.Converter.Calls, least: 1, stays: func(c Call) bool { return c.Function == p.Converter.Name }},
		&elements[string]{path: "capture.reasons", items: &p.Capture.Reasons, stays: always[string], least: 1},
		&elements[ResourceDescriptor]{path: "verifiedLearningModel.artifacts", items: &p.VerifiedLearningModel.Artifacts, stays: always[ResourceDescriptor], rest: furtherFiles},
	}
	for i := range p.FrozenModels {
		lists = append(lists, &elements[ResourceDescriptor]{
			path: fmt.Sprintf("frozenModels.%d.parts", i), items: &p.FrozenModels[i].Parts, stays: always[ResourceDescriptor], rest: furtherParts})
	}
	return lists
}

func always[T any](T) bool { return true }

func byScriptName(x, y Script) int { return strings.Compare(x.Name, y.Name) }

func byFindingID(x, y Finding) int { return strings.Compare(x.ID, y.ID) }

func byNameAndVersion(x, y Package) int {
	return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Version, y.Version))
}

// elements is a list of T.
type elements[T any] struct {
	path  string
	items *[]T
	// stays tells which elements are not moved out as long as others can be;
	// nil is none.
	stays func(T) bool
	// least is how many of the first always stay.
	least int
	// order in which the list stands; nil is that of time.
	order func(x, y T) int
	// rest stands in the list for what was moved out of it.
	rest func(moved []T) T
	// lesser is what is left in the list of an element that is moved out for
	// its bulk, key finds it again; nil leaves nothing.
	lesser func(T) T
	key    func(T) string

	out, hidden []T
	whole       int
	restored    bool
}

func (e *elements[T]) name() string { return e.path }

func (e *elements[T]) hide() (size int) {
	for _, item := range *e.items {
		size += encodedSize(item) + 1
	}
	e.hidden, *e.items = *e.items, []T{}
	e.whole = len(e.hidden)
	return size
}

func (e *elements[T]) unhide() { *e.items = e.hidden }

func (e *elements[T]) shorten(excess int, all bool) (freed int) {
	kept, out := []T{}, []T{}
	before := *e.items
	if len(e.out) > 0 && e.rest != nil {
		before = before[:len(before)-1]
	}
	texts := map[string]bool{} // of elements of which only that was moved out
	if e.lesser != nil {
		for _, item := range e.out {
			texts[e.key(item)] = true
		}
	}
	for i, item := range slices.Backward(before) {
		if freed >= excess || i < e.least || !all && e.stays != nil && e.stays(item) {
			kept = append(kept, item)
			continue
		}
		freed += encodedSize(item) + 1
		if e.lesser != nil && !all {
			less := e.lesser(item)
			kept, freed = append(kept, less), freed-encodedSize(less)-1
		}
		if e.lesser == nil || !texts[e.key(item)] {
			out = append(out, item)
		}
	}
	slices.Reverse(kept)
	slices.Reverse(out)
	if e.out = append(out, e.out...); e.order != nil {
		slices.SortStableFunc(e.out, e.order)
	}
	if len(e.out) > 0 && e.rest != nil {
		kept = append(kept, e.rest(e.out))
	}
	*e.items = kept
	return freed
}

func (e *elements[T]) moved() (items []any) {
	for _, item := range e.out {
		items = append(items, item)
	}
	return items
}

func (e *elements[T]) total() int { return e.whole }

// furtherFiles stands for files with one digest over all of them.
func furtherFiles(moved []ResourceDescriptor) ResourceDescriptor {
	d := fold(furtherName(len(moved)), moved)
	if a := moved[0].Annotations; a != nil {
		d.Annotations.Role = a.Role
	}
	return d
}

// furtherParts stands for files of a model. It has no digest, so that a reader
// who has no other list of them knows that it cannot check the model.
func furtherParts(moved []ResourceDescriptor) ResourceDescriptor {
	d := furtherFiles(moved)
	d.Digest, d.Annotations.Reason = nil, Unknown+"listed in the by-product alone"
	return d
}

func furtherName(n int) string { return fmt.Sprintf("%d further files", n) }

// withoutText is a script by its digest.
func withoutText(s Script) Script {
	s.Text = Unknown + "it stands in the by-product alone"
	return s
}

// cutSteps are the bounds that are tried in turn when nothing is left to be
// moved out: on a text in bytes, and on a list or map in elements.
var cutSteps = []struct{ text, count int }{{4096, 1000}, {512, 100}, {64, 10}}

// cut shortens texts and lists that no by-product has, until the log can be
// signed. Files with their names and digests are not among them.
func (s *Statement) cut(whole int) {
	p := &s.Predicate
	parts := []any{&p.Converter.Calls, &p.Findings, &p.Conversion.Context, &p.Elimination, &p.Environment.Variables, &p.Environment.Numerics,
		&p.Environment.WithheldVariables, &p.Converter.Command.Argv, &p.Capture.Reasons, &p.Capture.Notes, &p.Run.StillRunning, &p.Run.NetworkNote}
	for i := range p.FrozenModels {
		m := &p.FrozenModels[i]
		parts = append(parts, &m.Inputs, &m.Outputs, &m.Operators, &m.Opsets, &m.Producer, &m.FormatVersion)
	}
	p.Shortened = append(p.Shortened, Shortened{List: "*", Total: whole, Moved: 0})
	for _, step := range cutSteps {
		for _, part := range parts {
			value := reflect.ValueOf(part).Elem()
			value.Set(cutValue(value, step.text, step.count))
		}
		if text, err := encode(s); err != nil || len(text) <= maxKept {
			return
		}
	}
}

func cutValue(v reflect.Value, text, count int) reflect.Value {
	switch v.Kind() {
	case reflect.String:
		if v.Len() > text && v.Type() != reflect.TypeFor[json.Number]() {
			cut := reflect.New(v.Type()).Elem()
			cut.SetString(fmt.Sprintf("%s… (cut, %d bytes)", strings.ToValidUTF8(v.String()[:text], ""), v.Len()))
			return cut
		}
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return v
		}
		if v.Kind() == reflect.Interface {
			return cutValue(v.Elem(), text, count)
		}
		v.Elem().Set(cutValue(v.Elem(), text, count))
	case reflect.Slice:
		for i := range min(v.Len(), count) {
			v.Index(i).Set(cutValue(v.Index(i), text, count))
		}
		return v.Slice(0, min(v.Len(), count))
	case reflect.Struct:
		for i := range v.NumField() {
			v.Field(i).Set(cutValue(v.Field(i), text, count))
		}
	case reflect.Map:
		return cutMap(v, text, count)
	}
	return v
}

func cutMap(v reflect.Value, text, count int) reflect.Value {
	cut := reflect.MakeMap(v.Type())
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	for _, key := range keys[:min(len(keys), count)] {
		cut.SetMapIndex(cutValue(key, text, count), cutValue(v.MapIndex(key), text, count))
	}
	return cut
}

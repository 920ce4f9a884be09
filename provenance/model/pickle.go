package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// A pickle is a program for a stack machine,
// https://github.com/python/cpython/blob/main/Lib/pickletools.py. It is read
// here with the objects' places on the stack and without the objects: what a
// program would call is written down, and nothing is called.

// thingKind is what a thing is.
type thingKind uint8

const (
	aNone thingKind = iota
	aBool
	anInteger
	aFloat
	aString
	someBytes
	aTuple
	aList
	aDict
	aSet
	aGlobal // a class or a function, by name
	aCall   // what calling items[0] with items[1] would give
	aReference
	aMark
)

// thing is a value of a pickle, as far as it can be told without running it.
type thing struct {
	kind thingKind
	// text is a string's, or a global's module and name with a dot between
	// them; of a long string the beginning.
	text string
	// number is an integer, a bool, or a float's bits; of bytes their length.
	number int64
	// items are the elements of a tuple, list or set, a call's callee and
	// arguments, or what a reference names.
	items []*thing
	*filling
}

// filling is what is put into a thing after it was made.
type filling struct {
	keys, values []*thing
	state        []*thing
	appended     []*thing
	index        map[string]*thing // of values by key, once asked for
}

func (t *thing) fill() *filling {
	if t.filling == nil {
		t.filling = &filling{}
	}
	return t.filling
}

// Limits of a pickle.
const (
	maxPickleKept   = 96 << 20 // bytes that things take, roughly
	maxPickleLine   = 4 << 10  // bytes of an argument that ends with its line
	maxPickleString = 4 << 10  // bytes that are kept of a string
	thingCost       = 96
	placeCost       = 24 // on the stack
)

// pickle reads one program after the other from a file.
type pickle struct {
	*wire
	at      int64
	stack   []*thing
	memo    map[int64]*thing
	globals []string // in the order of their first use
	known   map[string]bool
}

func newPickle(file io.ReaderAt, size int64, name string) *pickle {
	return &pickle{wire: newWire(file, size, name), known: map[string]bool{}}
}

// load reads the program at p.at and returns what it leaves.
func (p *pickle) load() (*thing, error) {
	p.stack, p.memo = nil, map[int64]*thing{}
	for {
		offset := p.at
		code, err := p.next()
		if err != nil {
			return nil, err
		}
		if code == '.' {
			return p.pop()
		}
		if err := p.step(offset, code); err != nil {
			return nil, err
		}
		if p.kept > maxPickleKept {
			return nil, p.malformed(offset, fmt.Sprintf("a pickle that fits into %d MiB", maxPickleKept>>20), "more")
		}
	}
}

func (p *pickle) next() (byte, error) {
	if p.at >= p.size {
		return 0, p.malformed(p.at, "a pickle's next instruction or argument", "the end of the file")
	}
	b, err := p.byteAt(p.at)
	p.at++
	return b, err
}

// unsigned reads a number of n bytes, least significant first.
func (p *pickle) unsigned(n int) (v uint64, err error) {
	for i := range n {
		b, err := p.next()
		if err != nil {
			return 0, err
		}
		v |= uint64(b) << (8 * i)
	}
	return v, nil
}

// text reads a string whose length stands before it in n bytes.
func (p *pickle) text(n int) (string, int64, error) {
	start := p.at
	length, err := p.unsigned(n)
	if err != nil {
		return "", 0, err
	}
	if length > uint64(p.size-p.at) {
		return "", 0, p.malformed(start, fmt.Sprintf("a length of at most %d bytes, which remain", p.size-p.at), fmt.Sprint(length))
	}
	b, err := p.bytes(span{p.at, p.at + min(int64(length), maxPickleString)})
	p.at += int64(length)
	return string(b), int64(length), err
}

// line reads an argument up to the end of its line.
func (p *pickle) line() (string, error) {
	start := p.at
	var b bytes.Buffer
	for {
		c, err := p.next()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return b.String(), p.keep(start, int64(b.Len()))
		}
		if b.Len() == maxPickleLine {
			return "", p.malformed(start, fmt.Sprintf("a line of at most %d bytes", maxPickleLine), "a longer one")
		}
		b.WriteByte(c)
	}
}

func (p *pickle) push(t thing) error {
	p.stack = append(p.stack, &t)
	return p.keep(p.at, thingCost+8*int64(len(t.items)))
}

func (p *pickle) pop() (*thing, error) {
	if len(p.stack) == 0 {
		return nil, p.malformed(p.at-1, "a value on the stack", "none")
	}
	t := p.stack[len(p.stack)-1]
	p.stack = p.stack[:len(p.stack)-1]
	return t, nil
}

// top is the value that an instruction changes.
func (p *pickle) top() (*thing, error) {
	if len(p.stack) == 0 || p.stack[len(p.stack)-1].kind == aMark {
		return nil, p.malformed(p.at-1, "a value on the stack", "none")
	}
	return p.stack[len(p.stack)-1], nil
}

// values takes n values from the stack, the first one pushed first.
func (p *pickle) values(n int) ([]*thing, error) {
	from := len(p.stack) - n
	if from < 0 {
		return nil, p.malformed(p.at-1, fmt.Sprintf("%d values on the stack", n), fmt.Sprint(len(p.stack)))
	}
	values := append([]*thing(nil), p.stack[from:]...)
	p.stack = p.stack[:from]
	return values, p.keep(p.at, 8*int64(n))
}

// marked takes the values above the topmost mark, and the mark.
func (p *pickle) marked() ([]*thing, error) {
	for i := len(p.stack) - 1; i >= 0; i-- {
		if p.stack[i].kind == aMark {
			values, err := p.values(len(p.stack) - i)
			return values[min(1, len(values)):], err
		}
	}
	return nil, p.malformed(p.at-1, "a mark on the stack", "none")
}

// step carries out one instruction.
func (p *pickle) step(offset int64, code byte) error {
	switch code {
	case '(':
		return p.push(thing{kind: aMark})
	case '0':
		_, err := p.pop()
		return err
	case '1':
		_, err := p.marked()
		return err
	case '2':
		t, err := p.top()
		p.stack = append(p.stack, t)
		return errorOr(err, p.keep(offset, placeCost))
	case 0x80, 0x95, 0x97, 0x98:
		return p.framing(code)
	case 'N', 0x88, 0x89, 'I', 'L', 'J', 'K', 'M', 0x8a, 0x8b, 'F', 'G':
		return p.scalar(offset, code)
	case 'S', 'T', 'U', 'V', 'X', 0x8c, 0x8d, 'B', 'C', 0x8e, 0x96:
		return p.string(code)
	case ']', '}', ')', 0x8f, 'l', 'd', 't', 0x85, 0x86, 0x87, 0x91:
		return p.collection(code)
	case 'a', 'e', 's', 'u', 0x90, 'b':
		return p.change(code)
	case 'p', 'q', 'r', 0x94, 'g', 'h', 'j':
		return p.remember(offset, code)
	case 'c', 0x93, 'i', 0x82, 0x83, 0x84:
		return p.global(code)
	case 'R', 0x81, 0x92, 'o':
		return p.call(code)
	case 'P', 'Q':
		return p.reference(code)
	}
	return p.malformed(offset, "an instruction of a pickle", fmt.Sprintf("byte %#02x", code))
}

func errorOr(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// framing carries out the instructions that are about the bytes themselves.
func (p *pickle) framing(code byte) (err error) {
	switch code {
	case 0x80:
		_, err = p.unsigned(1)
	case 0x95: // how much could be read ahead
		_, err = p.unsigned(8)
	case 0x97: // a buffer that is handed over beside the pickle
		err = p.push(thing{kind: someBytes})
	}
	return err
}

func (p *pickle) scalar(offset int64, code byte) error {
	switch code {
	case 'N':
		return p.push(thing{kind: aNone})
	case 0x88, 0x89:
		return p.push(thing{kind: aBool, number: int64(0x89 - code)})
	case 'I', 'L':
		return p.decimal(offset)
	case 'F':
		s, err := p.line()
		f, parseErr := strconv.ParseFloat(s, 64)
		if err == nil && parseErr != nil {
			err = p.malformed(offset, "a floating-point number", quote(s))
		}
		return errorOr(err, p.push(thing{kind: aFloat, number: int64(math.Float64bits(f))}))
	case 'G':
		v, err := p.unsigned(8)
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], v) // its bytes come most significant first
		return errorOr(err, p.push(thing{kind: aFloat, number: int64(binary.LittleEndian.Uint64(b[:]))}))
	case 0x8a, 0x8b:
		return p.long(offset, int(1+3*(code-0x8a)))
	}
	n := map[byte]int{'J': 4, 'K': 1, 'M': 2}[code]
	v, err := p.unsigned(n)
	if code == 'J' {
		v = uint64(int64(int32(v)))
	}
	return errorOr(err, p.push(thing{kind: anInteger, number: int64(v)}))
}

// decimal reads an integer in digits; 00 and 01 are false and true.
func (p *pickle) decimal(offset int64) error {
	s, err := p.line()
	if err != nil {
		return err
	}
	if s == "00" || s == "01" {
		return p.push(thing{kind: aBool, number: int64(s[1] - '0')})
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(s, "L"), 10, 64)
	if err != nil {
		return p.malformed(offset, "an integer of at most 64 bits", quote(s))
	}
	return p.push(thing{kind: anInteger, number: n})
}

// long reads an integer of any length, whose length stands before it in n
// bytes. What does not fit into 64 bits is an integer all the same, the
// largest there is.
func (p *pickle) long(offset int64, n int) error {
	s, length, err := p.text(n)
	if err != nil {
		return err
	}
	v := int64(math.MaxInt64)
	if length <= 8 {
		v = 0
		for i := range int(length) {
			v |= int64(s[i]) << (8 * i)
		}
		if length > 0 && length < 8 && s[length-1] >= 0x80 {
			v -= 1 << (8 * length)
		}
	}
	return p.push(thing{kind: anInteger, number: v})
}

func (p *pickle) string(code byte) error {
	kind := aString
	switch code {
	case 'S', 'V':
		s, err := p.line()
		if err != nil {
			return err
		}
		if code == 'S' {
			s = strings.Trim(s, `"'`)
		}
		return p.push(thing{kind: kind, text: s})
	case 'B', 'C', 0x8e, 0x96:
		kind = someBytes
	}
	n := map[byte]int{'T': 4, 'U': 1, 'X': 4, 0x8c: 1, 0x8d: 8, 'B': 4, 'C': 1, 0x8e: 8, 0x96: 8}[code]
	s, length, err := p.text(n)
	if err != nil {
		return err
	}
	return p.push(thing{kind: kind, text: s, number: length})
}

func (p *pickle) collection(code byte) error {
	var items []*thing
	var err error
	switch code {
	case 'l', 'd', 't', 0x91:
		items, err = p.marked()
	case 0x85, 0x86, 0x87:
		items, err = p.values(int(code - 0x84))
	}
	if err != nil {
		return err
	}
	switch code {
	case ']', 'l':
		return p.push(thing{kind: aList, items: items})
	case '}':
		return p.push(thing{kind: aDict})
	case 'd':
		t := thing{kind: aDict}
		return errorOr(p.setItems(&t, items), p.push(t))
	case 0x8f, 0x91:
		return p.push(thing{kind: aSet, items: items})
	}
	return p.push(thing{kind: aTuple, items: items})
}

// setItems puts keys and values, which come by turns, into t.
func (p *pickle) setItems(t *thing, items []*thing) error {
	if len(items)%2 != 0 {
		return p.malformed(p.at-1, "a value for each key", "a key without one")
	}
	f := t.fill()
	f.index = nil
	for i := 0; i < len(items); i += 2 {
		f.keys = append(f.keys, items[i])
		f.values = append(f.values, items[i+1])
	}
	return p.keep(p.at, thingCost+48*int64(len(items)))
}

// change carries out the instructions that put something into the value that
// is then on top.
func (p *pickle) change(code byte) error {
	var items []*thing
	var err error
	switch code {
	case 'a', 'b':
		items, err = p.values(1)
	case 's':
		items, err = p.values(2)
	default:
		items, err = p.marked()
	}
	if err != nil {
		return err
	}
	t, err := p.top()
	if err != nil {
		return err
	}
	switch code {
	case 's', 'u':
		return p.setItems(t, items)
	case 'b':
		t.fill().state = append(t.fill().state, items...)
	default:
		t.fill().appended = append(t.fill().appended, items...)
	}
	return p.keep(p.at, thingCost+16*int64(len(items)))
}

// remember carries out the instructions that store the value on top, or push
// one that was stored.
func (p *pickle) remember(offset int64, code byte) error {
	var key int64
	var err error
	switch code {
	case 'p', 'g':
		var s string
		if s, err = p.line(); err == nil {
			if key, err = strconv.ParseInt(s, 10, 64); err != nil {
				err = p.malformed(offset, "a number in the memo", quote(s))
			}
		}
	case 0x94:
		key = int64(len(p.memo))
	default:
		var v uint64
		v, err = p.unsigned(map[byte]int{'q': 1, 'h': 1, 'r': 4, 'j': 4}[code])
		key = int64(v)
	}
	if err != nil {
		return err
	}
	switch code {
	case 'g', 'h', 'j':
		t := p.memo[key]
		if t == nil {
			return p.malformed(offset, "a number that is in the memo", fmt.Sprint(key))
		}
		p.stack = append(p.stack, t)
		return p.keep(offset, placeCost)
	}
	t, err := p.top()
	p.memo[key] = t
	return errorOr(err, p.keep(offset, 48))
}

// computedName stands for a global whose name is not written in the pickle.
const computedName = "a name that the program computes"

// global carries out the instructions that look up a class or a function.
func (p *pickle) global(code byte) error {
	name := computedName
	var arguments []*thing
	switch code {
	case 'c', 'i':
		module, err := p.line()
		if err != nil {
			return err
		}
		attribute, err := p.line()
		if err != nil {
			return err
		}
		name = module + "." + attribute
		if code == 'i' {
			if arguments, err = p.marked(); err != nil {
				return err
			}
		}
	case 0x93:
		parts, err := p.values(2)
		if err != nil {
			return err
		}
		if parts[0].kind == aString && parts[1].kind == aString {
			name = parts[0].text + "." + parts[1].text
		}
	default:
		v, err := p.unsigned(1 << (code - 0x82))
		if err != nil {
			return err
		}
		name = fmt.Sprintf("copyreg extension %d", v)
	}
	// What Python 2 calls __builtin__, which protocol 2 writes, is builtins.
	if inner, ok := strings.CutPrefix(name, "__builtin__."); ok {
		name = "builtins." + inner
	}
	if !p.known[name] {
		p.known[name] = true
		p.globals = append(p.globals, name)
	}
	callee := thing{kind: aGlobal, text: name}
	if code == 'i' {
		return p.push(thing{kind: aCall, items: []*thing{&callee, {kind: aTuple, items: arguments}}})
	}
	return p.push(callee)
}

// call carries out the instructions that would call something.
func (p *pickle) call(code byte) error {
	if code == 'o' {
		items, err := p.marked()
		if err == nil && len(items) == 0 {
			err = p.malformed(p.at-1, "a class above the mark", "none")
		}
		if err != nil {
			return err
		}
		return p.push(thing{kind: aCall, items: []*thing{items[0], {kind: aTuple, items: items[1:]}}})
	}
	n := 2
	if code == 0x92 { // named arguments, too
		n = 3
	}
	items, err := p.values(n)
	if err != nil {
		return err
	}
	return p.push(thing{kind: aCall, items: items})
}

// reference carries out the instructions that name something outside.
func (p *pickle) reference(code byte) error {
	if code == 'P' {
		s, err := p.line()
		return errorOr(err, p.push(thing{kind: aReference, items: []*thing{{kind: aString, text: s}}}))
	}
	items, err := p.values(1)
	if err != nil {
		return err
	}
	return p.push(thing{kind: aReference, items: items})
}

// callee is the name of what a call calls, "" when t is no call of a global.
// torch.save's old form refers to a class with its source, ("module", class,
// file, source).
func (t *thing) callee() string {
	if t.kind != aCall {
		return ""
	}
	callee := t.items[0]
	if callee.kind == aReference {
		callee = callee.items[0].item(1)
	}
	if callee == nil || callee.kind != aGlobal {
		return ""
	}
	return callee.text
}

// argument is a call's argument by position, nil when there is none.
func (t *thing) argument(i int) *thing {
	if t == nil || t.kind != aCall {
		return nil
	}
	return t.items[1].item(i)
}

// item is an element of a tuple or list, nil when there is none.
func (t *thing) item(i int) *thing {
	switch {
	case t == nil || t.kind == aCall || t.kind == aReference:
		return nil
	case i < len(t.items):
		return t.items[i]
	case t.filling != nil && i-len(t.items) < len(t.appended):
		return t.appended[i-len(t.items)]
	}
	return nil
}

// length is how many items there are.
func (t *thing) length() int {
	n := 0
	if t.kind != aCall && t.kind != aReference {
		n = len(t.items)
	}
	if t.filling != nil {
		n += len(t.appended)
	}
	return n
}

// get is the value that a dictionary, or an object by its attributes, has
// under a key; of several the last, nil when there is none.
func (t *thing) get(key string) *thing {
	if t == nil || t.filling == nil {
		return nil
	}
	for i := len(t.state) - 1; i >= 0; i-- {
		state := t.state[i]
		if v := state.own(key); v != nil {
			return v
		}
		// An object with slots has a tuple of two dictionaries.
		for j := range min(2, state.length()) {
			if v := state.item(j).own(key); v != nil {
				return v
			}
		}
	}
	return t.own(key)
}

// own is the value under a key that was put into t itself.
func (t *thing) own(key string) *thing {
	if t == nil || t.filling == nil || len(t.keys) == 0 {
		return nil
	}
	if t.index == nil {
		t.index = make(map[string]*thing, len(t.keys))
		for i, k := range t.keys {
			if k.kind == aString {
				t.index[k.text] = t.values[i]
			}
		}
	}
	return t.index[key]
}

// integer is t as an integer; ok is false when it is none.
func (t *thing) integer() (v int64, ok bool) {
	if t == nil || t.kind != anInteger && t.kind != aBool {
		return 0, false
	}
	return t.number, true
}

// float is t as a number; ok is false when it is none.
func (t *thing) float() (v float64, ok bool) {
	if t != nil && t.kind == aFloat {
		return math.Float64frombits(uint64(t.number)), true
	}
	i, ok := t.integer()
	return float64(i), ok
}

// integers is a tuple of integers, of a tensor's dimensions for one; ok is
// false when it is none.
func (t *thing) integers() (list []int64, ok bool) {
	if t != nil && t.kind == aCall { // torch.Size((2, 3))
		t = t.argument(0)
	}
	if t == nil || t.kind != aTuple && t.kind != aList || t.length() > maxDims {
		return nil, false
	}
	list = []int64{}
	for i := range t.length() {
		v, ok := t.item(i).integer()
		if !ok {
			return nil, false
		}
		list = append(list, v)
	}
	return list, true
}

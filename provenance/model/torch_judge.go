package model

import (
	"fmt"
	"slices"
	"strings"
)

// checkpoint is what is found in what torch.save wrote.
type checkpoint struct {
	*ledger
	globals []string
	// sizeOf is the number of bytes of a storage, -1 when there is none;
	// unchecked is set where that is not how storages lie.
	sizeOf    func(key string) int64
	unchecked bool
	storages  map[string]storedStorage
	counted   map[string]bool
	problems  []string
	placed    []tensorAt // every tensor that lies densely or not in one storage

	seen    map[*thing]bool
	tensors []string // names of a state's tensors
	layers  map[string]bool
	foreign []string // classes of modules whose code is elsewhere
	// optimizers, schedulers and others tell what of training is stored, by
	// path.
	optimizers, schedulers, scalers []string
	tooDeep                         bool
	script                          *script            // of TorchScript, whose code is judged
	found                           map[Operation]bool // layers that do it
	clips, decays, rates            bool
}

func newCheckpoint(m *Model) *checkpoint {
	m.Parameters = 0
	return &checkpoint{
		ledger: newLedger(m), storages: map[string]storedStorage{}, counted: map[string]bool{},
		seen: map[*thing]bool{}, layers: map[string]bool{}, found: map[Operation]bool{},
	}
}

// Limits of the walk over the objects of a pickle.
const (
	maxObjectDepth = 500
	maxPath        = 256 // bytes of the path that is shown
)

// visit is where the walk is.
type visit struct {
	path  string
	depth int
	// module is set beneath a module's own attributes, whose tensors its
	// class explains; optimizer beneath the state of an optimizer.
	module, optimizer bool
}

func (v visit) into(key string) visit {
	v.depth++
	switch {
	case len(v.path) >= maxPath:
	case v.path == "":
		v.path = key
	default:
		v.path += "." + key
	}
	return v
}

func (v visit) String() string {
	if v.path == "" {
		return "the file's object"
	}
	return quote(v.path)
}

// walk looks at all objects, each once.
func (c *checkpoint) walk(t *thing, at visit) {
	if t == nil || c.seen[t] {
		return
	}
	if at.depth > maxObjectDepth {
		c.tooDeep = true
		return
	}
	switch t.kind {
	case aCall, aTuple, aList, aDict, aSet:
		c.seen[t] = true
	default:
		return
	}
	if tensor := tensorOf(t); tensor != nil {
		c.seen[tensor] = true
		c.stored(tensor, at)
		return
	}
	switch {
	case t.kind == aCall && t.get("_modules") != nil:
		c.moduleObject(t, at)
		at.module = true
	case t.get("param_groups") != nil && t.get("state") != nil:
		c.optimizer(t, at)
		at.optimizer = true
	case c.script != nil:
		c.script.object(t, at)
	default:
		c.settings(t, at)
		if at.path == "" || t.kind == aCall && !isPlain(t.callee()) {
			at.module = false
		}
	}
	c.within(t, at)
}

// within walks over what is in a thing.
func (c *checkpoint) within(t *thing, at visit) {
	if t.kind == aCall {
		c.walk(t.items[0], at.into("()"))
		for _, argument := range t.items[1:] {
			c.walk(argument, at.into("()"))
		}
	}
	for i := range t.length() {
		c.walk(t.item(i), at.into(fmt.Sprint(i)))
	}
	if t.filling == nil {
		return
	}
	for _, state := range t.state {
		c.inState(state, at)
	}
	for i, key := range t.keys {
		c.walk(key, at.into("key"))
		c.walk(t.values[i], at.keyed(key))
	}
}

// inState walks over the attributes of an object, which have no level of their
// own in a path.
func (c *checkpoint) inState(state *thing, at visit) {
	if state.kind != aDict || c.seen[state] || state.filling == nil {
		c.walk(state, at.into("state"))
		return
	}
	c.seen[state] = true
	for i, key := range state.keys {
		c.walk(state.values[i], at.keyed(key))
	}
}

// keyed is where the value of a key is. A module's own containers are left out,
// so that its layers have the names that torch gives them.
func (v visit) keyed(key *thing) visit {
	switch {
	case key.kind == anInteger:
		return v.into(fmt.Sprint(key.number))
	case key.kind != aString:
		return v.into("?")
	case v.module && (key.text == "_modules" || key.text == "_parameters" || key.text == "_buffers"):
		v.depth++
		return v
	}
	return v.into(key.text)
}

// stored notes a tensor.
func (c *checkpoint) stored(tensor *thing, at visit) {
	optimizers := at.optimizer || isOptimizers(at.path)
	c.tensor(tensor, at.path, !optimizers)
	if optimizers || at.module || c.script != nil {
		if optimizers && len(c.optimizers) == 0 {
			c.optimizers = append(c.optimizers, quote(at.path))
		}
		return
	}
	c.tensors = append(c.tensors, at.path)
	if layer, ok := normalization(at.path); ok && !c.layers[layer] {
		c.layers[layer] = true
		c.hit(BatchNormalization, Present, Latent, "tensor %s is kept by batch normalization; in which mode that runs is not in the file", quote(at.path))
	}
}

// Layers of torch, torchvision and timm that are an operation, by the end of
// their class's name.
var torchLayers = map[string]Operation{
	"Dropout": Dropout, "Dropout1d": Dropout, "Dropout2d": Dropout, "Dropout3d": Dropout, "AlphaDropout": Dropout,
	"FeatureAlphaDropout": Dropout, "StochasticDepth": Dropout, "DropPath": Dropout,
	"BatchNorm1d": BatchNormalization, "BatchNorm2d": BatchNormalization, "BatchNorm3d": BatchNormalization,
	"LazyBatchNorm1d": BatchNormalization, "LazyBatchNorm2d": BatchNormalization, "LazyBatchNorm3d": BatchNormalization,
	"SyncBatchNorm": BatchNormalization, "BatchNormAct2d": BatchNormalization,
}

// moduleObject judges a layer that was saved whole.
func (c *checkpoint) moduleObject(t *thing, at visit) {
	class := t.callee()
	if class == "" {
		class = computedName
	}
	c.Operators[shown(class)]++
	if !isLayer(class) {
		c.foreign = append(c.foreign, class)
	}
	name := class[strings.LastIndexByte(class, '.')+1:]
	op, ours := torchLayers[name]
	chance := t.get("p")
	if !ours {
		// Recurrent layers and attention take a probability of their own.
		if chance = t.get("dropout"); chance == nil || chance.kind != aFloat && chance.kind != anInteger {
			return
		}
		op = Dropout
	}
	if p, ok := chance.float(); ok && op == Dropout && p == 0 {
		return
	}
	c.mode(t, op, fmt.Sprintf("layer %s, %s", at, shown(class)))
}

// mode judges a layer by its own switch. Batch normalization that keeps no
// statistics uses the batch's in either mode.
func (c *checkpoint) mode(t *thing, op Operation, layer string) {
	c.found[op] = true
	training := t.get("training")
	tracks := t.get("track_running_stats")
	switch {
	case op == BatchNormalization && tracks != nil && tracks.kind == aBool && tracks.number == 0:
		c.hit(op, Present, Training, "%s: track_running_stats is false, so that it uses the batch's statistics in either mode", layer)
	case training == nil || training.kind != aBool:
		c.hit(op, Unknown, None, "unknown: %s does not say in which mode it is", layer)
	case training.number != 0:
		c.hit(op, Present, Training, "%s: training is true", layer)
	default:
		c.hit(op, Present, Inference, "%s: training is false", layer)
	}
}

// optimizer judges the state of an optimizer: a dictionary, or the object.
func (c *checkpoint) optimizer(t *thing, at visit) {
	c.optimizers = append(c.optimizers, at.String())
	groups := t.get("param_groups")
	for i := range groups.length() {
		group := groups.item(i)
		where := fmt.Sprintf("param_groups[%d] of %s", i, at)
		if decay, ok := group.get("weight_decay").float(); ok && decay != 0 {
			c.decays = true
			c.hit(WeightRegularization, Present, Training, "%s: weight_decay is %v", where, decay)
		}
		if first, ok := group.get("initial_lr").float(); ok {
			rate, _ := group.get("lr").float()
			c.rates = true
			c.hit(LearningRateScheduling, Present, Training, "%s: initial_lr is %v, which a scheduler sets, and lr is %v", where, first, rate)
		}
	}
}

// clippingSettings are keys that trainers store the limit of gradients under:
// Lightning's hyper-parameters, the trainer of transformers, and others.
var clippingSettings = []string{"gradient_clip_val", "max_grad_norm", "clip_grad_norm", "clip_grad", "grad_clip", "gradient_clipping"}

// settings looks for the state of a scheduler, of a scaler and for settings of
// a trainer.
func (c *checkpoint) settings(t *thing, at visit) {
	if t.filling == nil {
		return
	}
	has := func(key string) bool { return t.get(key) != nil }
	if has("last_epoch") && has("_step_count") && (has("base_lrs") || has("_last_lr")) {
		c.schedulers = append(c.schedulers, at.String())
		c.rates = true
		c.hit(LearningRateScheduling, Present, Training, "%s is the state of a learning-rate scheduler", at)
	}
	if has("scale") && has("growth_factor") {
		c.scalers = append(c.scalers, at.String())
	}
	for _, key := range clippingSettings {
		if limit, ok := t.get(key).float(); ok && limit != 0 {
			c.clips = true
			c.hit(GradientClipping, Present, Training, "%s of %s is %v", key, at, limit)
		}
	}
}

// conclude turns what was found into verdicts and findings.
func (c *checkpoint) conclude() {
	c.graphOperations()
	c.stateVerdicts()
	c.pickleFindings()
	if training := slices.Concat(c.optimizers, c.schedulers, c.scalers); len(training) > 0 {
		c.find(OptimizerStored, "", strings.Join(training[:min(len(training), MaxEvidence)], ", "))
	}
	c.close()
}

// pickleFindings tells what loading the file would call.
func (c *checkpoint) pickleFindings() {
	var dangerous, classes []string
	for _, global := range c.globals {
		switch {
		case isPlain(global), dataClasses[global]:
		case c.script != nil && (strings.HasPrefix(global, "__torch__.") || strings.HasPrefix(global, "torch.jit._pickle.")):
			// Its own classes, whose code is judged.
		case isDangerous(global):
			dangerous = append(dangerous, shown(global))
		case !isLayer(global):
			classes = append(classes, shown(global))
		}
	}
	if len(dangerous) > 0 {
		c.find(PickleCall, "", strings.Join(dangerous, ", "))
	}
	if len(classes) > 0 {
		c.find(PickleClass, "", strings.Join(classes, ", "))
	}
}

func (c *checkpoint) graphOperations() {
	for _, op := range []Operation{Dropout, BatchNormalization} {
		if c.tooDeep {
			c.hit(op, Unknown, None, "unknown: objects are within each other more than %d deep", maxObjectDepth)
		}
		switch {
		case c.found[op]:
		case len(c.foreign) > 0:
			c.hit(op, Unknown, None, "unknown: layers of class %s are in the file, but not what they compute", shown(c.foreign[0]))
		case len(c.Operators) == 0:
			if op == Dropout || len(c.layers) == 0 {
				c.hit(op, Unknown, None, "unknown: %d tensors and no layers; what computes with them is not in the file", len(c.tensors))
			}
		default:
			c.hit(op, Absent, None, "layers looked at: %d; all are PyTorch's own, and none is one", sum(c.Operators))
		}
	}
}

func sum(counts map[string]int) (n int) {
	for _, count := range counts {
		n += count
	}
	return n
}

func (c *checkpoint) stateVerdicts() {
	stored := ""
	if training := slices.Concat(c.optimizers, c.schedulers, c.scalers); len(training) > 0 {
		stored = training[0]
	}
	for op, settled := range map[Operation]bool{GradientClipping: c.clips, LearningRateScheduling: c.rates, WeightRegularization: c.decays} {
		switch {
		case settled:
		case c.tooDeep:
			c.hit(op, Unknown, None, "unknown: objects are within each other more than %d deep", maxObjectDepth)
		case stored != "":
			c.hit(op, Unknown, None, "unknown: state of training is stored at %s, but no setting that tells", stored)
		default:
			c.hit(op, Absent, NotRepresentable, "no optimizer, scheduler or trainer's settings are stored: weights and layers have no place for it")
		}
	}
}
